"""A Keras AdamW in, the same optimizer updating each variable by one TensorFlow kernel out."""

from __future__ import annotations

import types

import keras


def use_fused_update(optimizer: keras.optimizers.Adam) -> bool:
    """Update by TensorFlow's `ResourceApplyAdam`; return whether the optimizer was changed.

    The same formula to float rounding as Keras's dozen operations a variable (Kingma and Ba,
    2015, section 2, its efficient order), in one pass over the memory; the weights decay before, as
    they do there, but by a learning rate that is computed once a step and not once a variable.
    Only methods of this object change, so a saved model holds a plain Keras optimizer. AMSGrad and
    backends other than TensorFlow are left alone.
    """
    if keras.backend.backend() != "tensorflow" or optimizer.amsgrad:
        return False
    optimizer.update_step = types.MethodType(_fused_update, optimizer)
    optimizer._apply_weight_decay = lambda variables: None  # the update does it
    return True


def _fused_update(optimizer, gradient, variable, learning_rate):
    """Stand in for `Adam.update_step`."""
    import tensorflow as tf

    rate = tf.cast(learning_rate, variable.dtype)
    if optimizer.weight_decay is not None and optimizer._use_weight_decay(variable):
        variable.assign_sub(variable * (rate * optimizer.weight_decay))
    index = optimizer._get_variable_index(variable)
    step = tf.cast(optimizer.iterations + 1, variable.dtype)
    beta_1 = tf.constant(optimizer.beta_1, variable.dtype)
    beta_2 = tf.constant(optimizer.beta_2, variable.dtype)
    tf.raw_ops.ResourceApplyAdam(
        var=variable.handle,
        m=optimizer._momentums[index].value.handle,
        v=optimizer._velocities[index].value.handle,
        beta1_power=tf.pow(beta_1, step),
        beta2_power=tf.pow(beta_2, step),
        lr=rate,
        beta1=beta_1,
        beta2=beta_2,
        epsilon=tf.constant(optimizer.epsilon, variable.dtype),
        grad=tf.cast(gradient, variable.dtype),
    )

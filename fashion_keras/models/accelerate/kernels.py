"""A Keras model or AdamW in, the same trained by faster TensorFlow kernels out.

Replacements are the same mathematics to float rounding; ratios in docs/performance.md. Only the
methods of layer and optimizer objects change, so a saved model holds plain Keras layers.
"""

from __future__ import annotations

import types

import keras
import numpy as np

from fashion_keras.models.classifier import layers_of

# At most this many output pixels a photo: oneDNN splits a convolution over pixels, and with 6
# of them (ResNet18's last stage at 80×60) runs at a third of a matrix product's speed.
_FEW_PIXELS = 8
# And the gradient of a bfloat16 convolution's weights: up to so many pixels, oneDNN's AMX kernel
# takes two to three times as long for it as the product does; in float32 it is the faster one.
_SOME_PIXELS = 48
# And a depthwise convolution by a kernel of at least this many weights, whose gradient oneDNN
# computes seven times slower than the product on maps of 3×2 pixels, where input and output have
# at most so many pairs of pixels; by 3×3, and on larger maps, oneDNN is the faster one.
_LARGE_KERNEL, _DEPTHWISE_PAIRS = 25, 400


def use_fast_kernels(model: keras.Model) -> tuple[int, int]:
    """Fuse batch normalisation and swish, and turn convolutions on tiny maps into matrix products.

    Of bfloat16 convolutions on small maps only the weights' gradient becomes a product, and other
    depthwise convolutions in bfloat16 are computed in float32. Returns how many normalisations
    were changed, and how many other layers. Layers in float16, and backends other than
    TensorFlow, are left alone.
    """
    if keras.backend.backend() != "tensorflow":
        return 0, 0
    layers = [layer for layer in layers_of(model) if layer.compute_dtype in ("float32", "bfloat16")]
    normalisations = [layer for layer in layers if _can_fuse(layer)]
    for layer in normalisations:
        layer.call = types.MethodType(_fused_normalisation, layer)
    convolutions = [layer for layer in layers if _is_dense(layer, 1, _FEW_PIXELS)]
    for layer in convolutions:
        layer.convolution_op = types.MethodType(_convolution_as_product, layer)
    larger = [
        layer
        for layer in layers
        if layer.compute_dtype == "bfloat16" and _is_dense(layer, _FEW_PIXELS + 1, _SOME_PIXELS)
    ]
    for layer in larger:
        layer.convolution_op = types.MethodType(_weights_gradient_as_product, layer)
    depthwise = [layer for layer in layers if _is_tiny_depthwise(layer)]
    for layer in depthwise:
        layer.call = types.MethodType(_depthwise_as_product, layer)
    # oneDNN's gradients of these in bfloat16 take ten times as long as in float32.
    halves = [layer for layer in layers if _is_half_depthwise(layer) and layer not in depthwise]
    for layer in halves:
        layer.call = types.MethodType(_depthwise_in_float32, layer)
    activations = [layer for layer in layers if _is_swish(layer)]
    if activations:
        swish = _swish()
        for layer in activations:
            layer.call = types.MethodType(lambda layer, inputs: swish(inputs), layer)
    others = (convolutions, larger, depthwise, halves, activations)
    return len(normalisations), sum(len(changed) for changed in others)


def _can_fuse(layer) -> bool:
    return (
        type(layer) is keras.layers.BatchNormalization
        and layer.scale
        and layer.center
        and len(layer.input.shape) == 4
        and layer.axis in (-1, 3)
    )


def _fused_normalisation(layer, inputs, training=None, mask=None):
    """Stand in for `BatchNormalization.call`, which uses a dozen operations in training."""
    import tensorflow as tf

    if mask is not None or not (training and layer.trainable):
        return type(layer).call(layer, inputs, training=training, mask=mask)
    outputs, mean, variance = tf.compat.v1.nn.fused_batch_norm(
        inputs,
        tf.convert_to_tensor(layer.gamma),
        tf.convert_to_tensor(layer.beta),
        epsilon=layer.epsilon,
        is_training=True,
    )
    # The kernel returns the unbiased variance, n / (n − 1) times the one Keras averages.
    count = tf.cast(tf.size(inputs) // tf.shape(inputs)[-1], tf.float32)
    variance *= (count - 1.0) / count
    momentum = layer.momentum
    for moving, batch in ((layer.moving_mean, mean), (layer.moving_variance, variance)):
        moving.assign(moving * momentum + batch * (1.0 - momentum))
    return outputs


def _is_dense(layer, least: int, most: int) -> bool:
    """Return whether a layer is a plain convolution with so many output pixels."""
    if type(layer) is not keras.layers.Conv2D:
        return False
    height, width = layer.output.shape[1:3]
    return (
        layer.data_format == "channels_last"
        and layer.dilation_rate == (1, 1)
        and layer.groups == 1
        and least <= height * width <= most
    )


def _convolution_as_product(layer, inputs, kernel):
    """Stand in for `Conv2D.convolution_op`: gather the neighbourhoods, then one product."""
    import tensorflow as tf

    filters = kernel.shape[-1]
    product = tf.matmul(_neighbourhoods(layer, inputs), tf.reshape(kernel, [-1, filters]))
    return tf.reshape(product, [-1, *layer.output.shape[1:]])


def _weights_gradient_as_product(layer, inputs, kernel):
    """Stand in for `Conv2D.convolution_op`: only the gradient of the weights is a product."""
    import tensorflow as tf

    padding, strides = layer.padding.upper(), (1, *layer.strides, 1)

    @tf.custom_gradient
    def convolve(inputs, kernel):
        def gradients(upstream):
            of_inputs = tf.raw_ops.Conv2DBackpropInput(
                input_sizes=tf.shape(inputs),
                filter=kernel,
                out_backprop=upstream,
                strides=strides,
                padding=padding,
            )
            of_outputs = tf.reshape(upstream, [-1, kernel.shape[-1]])
            product = tf.matmul(_neighbourhoods(layer, inputs), of_outputs, transpose_a=True)
            return of_inputs, tf.reshape(product, kernel.shape)

        return tf.nn.conv2d(inputs, kernel, strides, padding), gradients

    return convolve(inputs, tf.convert_to_tensor(kernel))


def _neighbourhoods(layer, inputs):
    """Return what each output pixel of a convolution meets, `[photos × pixels, weights]`."""
    import tensorflow as tf

    height, width, channels = inputs.shape[1:]
    weights = int(np.prod(layer.kernel_size))
    if weights == 1 and layer.strides == (1, 1):
        return tf.reshape(inputs, [-1, channels])
    taps, _, _ = _taps(layer, height, width)
    # Which pixel each weight of each output pixel meets, none outside the map. A product with
    # ones and zeros gathers them: slices would do, but their gradients take as long as the rest.
    meets = taps.T[:, None, :] == np.arange(weights)[None, :, None]
    meets = tf.constant(meets.reshape(-1, height * width), inputs.dtype)
    pixels = tf.reshape(inputs, [-1, height * width, channels])
    return tf.reshape(tf.matmul(meets, pixels), [-1, weights * channels])


def _is_tiny_depthwise(layer) -> bool:
    if type(layer) is not keras.layers.DepthwiseConv2D:
        return False
    pairs = np.prod(layer.input.shape[1:3]) * np.prod(layer.output.shape[1:3])
    return (
        layer.data_format == "channels_last"
        and layer.dilation_rate == (1, 1)
        and layer.depth_multiplier == 1
        and int(np.prod(layer.kernel_size)) >= _LARGE_KERNEL
        and pairs <= _DEPTHWISE_PAIRS
    )


def _depthwise_as_product(layer, inputs):
    """Stand in for `DepthwiseConv2D.call`: one small matrix a channel, from pixels to pixels."""
    import tensorflow as tf

    height, width, channels = inputs.shape[1:]
    taps, rows, columns = _taps(layer, height, width)
    kernel = tf.reshape(layer.kernel, [-1, channels])
    # The weight that joins two pixels; the row of zeros joins those too far apart.
    kernel = tf.concat([kernel, tf.zeros([1, channels], kernel.dtype)], axis=0)
    matrices = tf.transpose(tf.gather(kernel, taps), [2, 0, 1])  # channel, pixel in, pixel out
    pixels = tf.transpose(tf.reshape(inputs, [-1, height * width, channels]), [2, 0, 1])
    product = tf.transpose(tf.matmul(pixels, matrices), [1, 2, 0])
    outputs = tf.reshape(product, [-1, rows, columns, channels])
    return _biased_and_activated(layer, outputs)


def _taps(layer, height, width):
    """Return which weight joins two pixels, int `[pixels in, out]`, and the output's size."""
    down, across = layer.strides
    kernel_rows, kernel_columns = layer.kernel_size
    same = layer.padding == "same"
    top = _same_padding(height, kernel_rows, down) if same else 0
    left = _same_padding(width, kernel_columns, across) if same else 0
    rows, columns = layer.output.shape[1:3]
    y, x, out_y, out_x = np.indices((height, width, rows, columns))
    row, column = y - (out_y * down - top), x - (out_x * across - left)
    inside = (row >= 0) & (row < kernel_rows) & (column >= 0) & (column < kernel_columns)
    taps = np.where(inside, row * kernel_columns + column, kernel_rows * kernel_columns)
    return taps.reshape(height * width, rows * columns), rows, columns


def _same_padding(size: int, kernel_size: int, stride: int) -> int:
    """Return the pixels before the first, as TensorFlow's padding "SAME" has them."""
    return max((-(-size // stride) - 1) * stride + kernel_size - size, 0) // 2


def _is_half_depthwise(layer) -> bool:
    return type(layer) is keras.layers.DepthwiseConv2D and layer.compute_dtype == "bfloat16"


def _depthwise_in_float32(layer, inputs):
    """Stand in for `DepthwiseConv2D.call`: the same between two casts."""
    outputs = keras.ops.depthwise_conv(
        keras.ops.cast(inputs, "float32"),
        keras.ops.cast(layer.kernel, "float32"),
        strides=layer.strides,
        padding=layer.padding,
        dilation_rate=layer.dilation_rate,
        data_format=layer.data_format,
    )
    return _biased_and_activated(layer, keras.ops.cast(outputs, layer.compute_dtype))


def _biased_and_activated(layer, outputs):
    if layer.use_bias:
        outputs = outputs + layer.bias
    return outputs if layer.activation is None else layer.activation(outputs)


def _is_swish(layer) -> bool:
    return type(layer) is keras.layers.Activation and layer.activation is keras.activations.silu


def _swish():
    """Return swish with its gradient as one loop, which XLA makes of six operations.

    x σ(x) has the derivative σ(x) (1 + x (1 − σ(x))) (Ramachandran et al., 2017).
    """
    import tensorflow as tf

    @tf.function(jit_compile=True)
    def gradient(inputs, upstream):
        x = tf.cast(inputs, tf.float32)
        sigmoid = tf.sigmoid(x)
        slope = sigmoid * (1.0 + x * (1.0 - sigmoid))
        return tf.cast(tf.cast(upstream, tf.float32) * slope, inputs.dtype)

    @tf.custom_gradient
    def swish(inputs):
        return tf.nn.silu(inputs), lambda upstream: gradient(inputs, upstream)

    return swish


# ---- the optimizer's ----


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

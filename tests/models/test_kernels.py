import keras
import numpy as np
import pytest
import tensorflow as tf

from fashion_keras.models.accelerate.kernels import use_fast_kernels

RNG = np.random.default_rng(0)
PHOTOS = RNG.normal(2.0, 3.0, (4, 6, 5, 3)).astype("float32")


def model():
    keras.utils.set_random_seed(0)
    inner = keras.Sequential(
        [keras.Input((6, 5, 3)), keras.layers.Conv2D(4, 3), keras.layers.BatchNormalization()]
    )
    inputs = keras.Input((6, 5, 3))
    outputs = keras.layers.BatchNormalization(momentum=0.7)(inner(inputs))
    return keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(outputs**2))


def step(m):
    with tf.GradientTape() as tape:
        outputs = m(PHOTOS, training=True)
        loss = tf.reduce_sum(outputs * tf.reshape(tf.range(16, dtype=tf.float32), (4, 4)))
    gradients = tape.gradient(loss, [v.value for v in m.trainable_variables])
    return outputs, gradients, m.non_trainable_variables


def test_trains_to_the_same_outputs_gradients_and_statistics():
    plain, fused = model(), model()
    assert use_fast_kernels(fused) == (2, 0)
    for expected, found in zip(
        tf.nest.flatten(step(plain)), tf.nest.flatten(step(fused)), strict=True
    ):
        np.testing.assert_allclose(np.array(found), np.array(expected), rtol=2e-4, atol=2e-4)


def test_frozen_layer_keeps_its_statistics():
    m = model()
    use_fast_kernels(m)
    m.trainable = False
    before = [np.array(v) for v in m.non_trainable_variables]
    m(PHOTOS, training=True)
    for old, variable in zip(before, m.non_trainable_variables, strict=True):
        np.testing.assert_array_equal(old, np.array(variable))


def test_saved_model_holds_plain_keras_layers(tmp_path):
    m = model()
    use_fast_kernels(m)
    step(m)
    m.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    assert type(loaded.layers[-3]) is type(m.layers[-3])
    np.testing.assert_allclose(
        loaded.predict(PHOTOS, verbose=0), m.predict(PHOTOS, verbose=0), rtol=1e-5
    )


@pytest.mark.parametrize("seed", range(3))
def test_bfloat16_normalisation_is_float32s_to_its_eight_bits(seed):
    rng = np.random.default_rng(seed)
    photos = rng.normal(2.0, 3.0, (16, 6, 5, 3)).astype("float32")
    weights = rng.normal(size=photos.shape).astype("float32")
    results = []
    for policy in ("float32", "mixed_bfloat16"):
        layer = keras.layers.BatchNormalization(momentum=0.7, dtype=policy)
        inputs = keras.Input((6, 5, 3), dtype=layer.compute_dtype)
        m = keras.Model(inputs, layer(inputs))
        assert use_fast_kernels(m) == (1, 0)
        batch = tf.cast(photos, layer.compute_dtype)
        with tf.GradientTape() as tape:
            tape.watch(batch)
            outputs = m(batch, training=True)
            loss = tf.reduce_sum(tf.cast(outputs, "float32") * weights)
        variables = [layer.gamma.value, layer.beta.value]
        gradients = tape.gradient(loss, [batch, *variables])
        assert gradients[1].dtype == gradients[2].dtype == tf.float32
        statistics = [layer.moving_mean.value, layer.moving_variance.value]
        found = [tf.cast(value, "float32") for value in (outputs, *gradients, *statistics)]
        results.append([value.numpy() for value in found])
    for exact, half in zip(*results, strict=True):
        np.testing.assert_allclose(half, exact, atol=0.02 * np.abs(exact).max())


def test_float16_layers_are_left_to_keras():
    inputs = keras.Input((6, 5, 3))
    outputs = keras.layers.BatchNormalization(dtype="mixed_float16")(inputs)
    assert use_fast_kernels(keras.Model(inputs, outputs)) == (0, 0)


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize("kernel_size", [1, 2, 3])
@pytest.mark.parametrize("strides", [1, 2])
@pytest.mark.parametrize("size", [(3, 2), (4, 5)])
def test_convolution_on_a_tiny_map_is_the_same_as_a_product(size, strides, kernel_size, padding):
    if padding == "valid" and kernel_size > min(size):
        pytest.skip("no output pixel")
    keras.utils.set_random_seed(0)
    inputs = keras.Input((*size, 3))
    layer = keras.layers.Conv2D(5, kernel_size, strides, padding, bias_initializer="normal")
    m = keras.Model(inputs, layer(inputs))
    if np.prod(m.output_shape[1:3]) > 8:
        pytest.skip("not a tiny map")
    expected = outputs_and_gradients(m, layer, size)
    assert use_fast_kernels(m) == (0, 1)
    for one, other in zip(outputs_and_gradients(m, layer, size), expected, strict=True):
        np.testing.assert_allclose(np.array(one), np.array(other), rtol=1e-4, atol=1e-5)


def outputs_and_gradients(m, layer, size):
    photos = tf.constant(np.random.default_rng(0).normal(size=(4, *size, 3)).astype("float32"))
    with tf.GradientTape() as tape:
        tape.watch(photos)
        outputs = m(photos)
        loss = tf.reduce_sum(outputs**2)
    return [outputs, *tape.gradient(loss, [photos, layer.kernel.value, layer.bias.value])]


@pytest.mark.parametrize(
    ("size", "kernel_size", "padding", "strides"),
    [
        *(
            (size, kernel_size, "same", strides)
            for size in [(3, 2), (2, 2), (1, 1), (5, 4)]
            for kernel_size in (5, 7)
            for strides in (1, 2)
        ),
        ((9, 7), 5, "valid", 2),  # EfficientNetB0's block 6a, padded before
    ],
)
def test_depthwise_convolution_on_a_tiny_map_is_the_same_as_a_product(
    size, kernel_size, padding, strides
):
    keras.utils.set_random_seed(0)
    inputs = keras.Input((*size, 3))
    layer = keras.layers.DepthwiseConv2D(
        kernel_size, strides, padding, bias_initializer="normal", activation="relu"
    )
    m = keras.Model(inputs, layer(inputs))
    expected = outputs_and_gradients(m, layer, size)
    assert use_fast_kernels(m) == (0, 1)
    for one, other in zip(outputs_and_gradients(m, layer, size), expected, strict=True):
        np.testing.assert_allclose(np.array(one), np.array(other), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("size", "kernel_size"), [((5, 5), 5), ((3, 2), 3)])
def test_depthwise_convolution_that_is_fast_already_is_left_to_keras(size, kernel_size):
    inputs = keras.Input((*size, 3))
    layer = keras.layers.DepthwiseConv2D(kernel_size, padding="same")
    assert use_fast_kernels(keras.Model(inputs, layer(inputs))) == (0, 0)


@pytest.mark.parametrize(
    ("strides", "padding", "use_bias"), [(1, "same", True), (2, "valid", False)]
)
def test_half_precision_depthwise_convolution_is_float32s_to_its_eight_bits(
    strides, padding, use_bias
):
    options = {"use_bias": use_bias, "bias_initializer": "normal", "activation": "relu"}
    exact = keras.layers.DepthwiseConv2D(3, strides, padding, **options)
    half = keras.layers.DepthwiseConv2D(3, strides, padding, dtype="mixed_bfloat16", **options)
    inputs = keras.Input((9, 8, 4))
    plain, changed = (keras.Model(inputs, layer(inputs)) for layer in (exact, half))
    changed.set_weights(plain.get_weights())
    assert use_fast_kernels(changed) == (0, 1)
    photos = RNG.normal(size=(4, 9, 8, 4)).astype("float32")
    found, expected = changed(photos), np.array(plain(photos))
    assert found.dtype == tf.bfloat16
    np.testing.assert_allclose(np.array(tf.cast(found, "float32")), expected, atol=0.03)


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_swish_has_tensorflows_values_and_gradient(policy):
    inputs = keras.Input((7,), dtype=keras.DTypePolicy(policy).compute_dtype)
    m = keras.Model(inputs, keras.layers.Activation("swish", dtype=policy)(inputs))
    assert use_fast_kernels(m) == (0, 1)
    x = tf.cast(RNG.normal(0.0, 4.0, (50, 7)), inputs.dtype)
    upstream = tf.cast(RNG.normal(size=(50, 7)), inputs.dtype)

    def values_and_gradient(function, x, upstream):
        with tf.GradientTape() as tape:
            tape.watch(x)
            outputs = function(x)
        return outputs, tape.gradient(outputs, x, upstream)

    single = tf.cast(x, "float32")
    expected = values_and_gradient(tf.nn.silu, single, tf.cast(upstream, "float32"))
    tolerance = {"float32": 1e-6, "mixed_bfloat16": 0.01}[policy]
    for one, other in zip(values_and_gradient(m, x, upstream), expected, strict=True):
        assert one.dtype == inputs.dtype
        found = np.array(tf.cast(one, "float32"))
        np.testing.assert_allclose(found, np.array(other), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("kind", [keras.layers.Conv2D, keras.layers.DepthwiseConv2D])
def test_products_in_bfloat16_are_float32s_to_its_eight_bits(kind):
    size = {"kernel_size": 5, "padding": "same"} | (
        {"filters": 4} if kind is keras.layers.Conv2D else {}
    )
    inputs = keras.Input((3, 2, 4))
    plain, half = (
        keras.Model(inputs, kind(**size, dtype=policy)(inputs))
        for policy in ("float32", "mixed_bfloat16")
    )
    half.set_weights(plain.get_weights())
    assert use_fast_kernels(half) == (0, 1)
    photos = RNG.normal(size=(8, 3, 2, 4)).astype("float32")

    def outputs_and_kernel_gradient(m):
        with tf.GradientTape() as tape:
            outputs = tf.cast(m(photos), "float32")
            loss = tf.reduce_sum(outputs * photos)
        return outputs, tape.gradient(loss, m.trainable_variables[0].value)

    exact = outputs_and_kernel_gradient(plain)
    for one, other in zip(outputs_and_kernel_gradient(half), exact, strict=True):
        expected = np.array(other)
        np.testing.assert_allclose(np.array(one), expected, atol=0.02 * np.abs(expected).max())


@pytest.mark.parametrize("kernel_size", [1, 3])
@pytest.mark.parametrize(
    ("size", "strides", "padding"), [((5, 4), 1, "same"), ((9, 8), 2, "same"), ((9, 9), 2, "valid")]
)
def test_gradients_of_bfloat16_weights_on_small_maps_are_float32s_to_eight_bits(
    size, strides, padding, kernel_size
):
    def model_of(policy):
        options = {"use_bias": False, "dtype": policy}  # Keras sums a bias's gradient in bfloat16
        inputs = keras.Input((*size, 3))
        layer = keras.layers.Conv2D(6, kernel_size, strides, padding, **options)
        return keras.Model(inputs, layer(inputs))

    plain, half = model_of("float32"), model_of("mixed_bfloat16")
    half.set_weights(plain.get_weights())
    assert use_fast_kernels(plain) == (0, 0)  # in float32 oneDNN is the faster one
    assert use_fast_kernels(half) == (0, 1)
    photos = RNG.normal(size=(8, *size, 3)).astype("float32")
    upstream = RNG.normal(size=(8, *plain.output_shape[1:])).astype("float32")

    def outputs_and_gradients(m):
        batch = tf.constant(photos)
        with tf.GradientTape() as tape:
            tape.watch(batch)
            outputs = tf.cast(m(batch), "float32")
            loss = tf.reduce_sum(outputs * upstream)
        variables = [variable.value for variable in m.trainable_variables]
        return [outputs, *tape.gradient(loss, [batch, *variables])]

    for one, other in zip(outputs_and_gradients(half), outputs_and_gradients(plain), strict=True):
        expected = np.array(other)
        np.testing.assert_allclose(np.array(one), expected, atol=0.02 * np.abs(expected).max())


def test_bfloat16_convolution_on_a_large_map_is_left_to_keras():
    inputs = keras.Input((7, 7, 3))
    layer = keras.layers.Conv2D(4, 3, padding="same", dtype="mixed_bfloat16")
    assert use_fast_kernels(keras.Model(inputs, layer(inputs))) == (0, 0)

"""The bundle answers TF Serving's messages where our package cannot be imported."""

import base64
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from serving.photo_bytes import BAD, GOOD
from serving.tiny import IMAGE_SIZE, LABELS, PHOTOS, tiny_run

from fashion_keras.data.image import decode_and_resize
from fashion_keras.serving.savedmodel import export_saved_model
from fashion_keras.serving.server_files import MAX_BATCH_SIZE

apis = pytest.importorskip("tensorflow_serving.apis.predict_pb2", reason="tensorflow-serving-api")
from serving.rest import request_from_json, response_to_json  # noqa: E402
from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog  # noqa: E402

STAND_IN = Path(__file__).with_name("stand_in_server.py")
MIXED = [*GOOD.values(), *BAD.values()]
BATCHES = {size: [MIXED[i % len(MIXED)] for i in range(size)] for size in range(1, 65)}


def request(signature, values, name="image_bytes", dtype=tf.string):
    result = apis.PredictRequest()
    result.model_spec.name = "shop"
    result.model_spec.signature_name = signature
    result.inputs[name].CopyFrom(tf.make_tensor_proto(values, dtype))
    return result


def rest_body(photos, **more):
    instances = [{"b64": base64.b64encode(photo).decode("ascii")} for photo in photos]
    return json.dumps({**more, "instances": instances})


@pytest.fixture(scope="module")
def run():
    return tiny_run()


@pytest.fixture(scope="module")
def bundle(run, tmp_path_factory):
    return export_saved_model(run, tmp_path_factory.mktemp("models") / "shop", top=3)


@pytest.fixture(scope="module")
def warmup(bundle):
    file = bundle / "assets.extra" / "tf_serving_warmup_requests"
    records = [record.numpy() for record in tf.data.TFRecordDataset(str(file))]
    return [PredictionLog.FromString(record).predict_log.request for record in records]


@pytest.fixture(scope="module")
def answers(bundle, warmup, tmp_path_factory):
    """Every request of these tests, answered by one process; arrays by name."""
    pixels = np.stack([decode_and_resize(photo, IMAGE_SIZE) for photo in GOOD.values()])
    requests = {
        **{("batch", size): request("serving_default", batch) for size, batch in BATCHES.items()},
        "pixels": request("serve_pixels", pixels, "pixels", tf.uint8),
        "good": request("serving_default", list(GOOD.values())),
        "embed": request("embed", MIXED),
        "rest": request_from_json(rest_body([PHOTOS["jpeg"], b""]), "image_bytes", tf.string),
        "rest embed": request_from_json(
            rest_body([PHOTOS["jpeg"]], signature_name="embed"), "image_bytes", tf.string
        ),
        **{("warmup", index): message for index, message in enumerate(warmup)},
    }
    folder = tmp_path_factory.mktemp("alone")
    for package in ("fashion_keras", "keras_cv"):
        (folder / f"{package}.py").write_text("raise ImportError('kept out by the test')")
    with tf.io.TFRecordWriter(str(folder / "requests")) as writer:
        for message in requests.values():
            writer.write(message.SerializeToString())
    done = subprocess.run(
        [sys.executable, STAND_IN, bundle, folder / "requests", folder / "responses"],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    responses = tf.data.TFRecordDataset(str(folder / "responses"))
    parsed = [apis.PredictResponse.FromString(record.numpy()) for record in responses]
    return dict(zip(requests, parsed, strict=True))


def arrays(response):
    return {name: tf.make_ndarray(tensor) for name, tensor in response.outputs.items()}


def expected(run, photos):
    pixels = np.stack([decode_and_resize(photo, IMAGE_SIZE) for photo in photos])
    logits = run.model.predict(pixels, verbose=0)["subCategory"].astype(np.float64)
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    return odds / odds.sum(axis=1, keepdims=True)


def test_every_kind_of_photo_has_the_keras_models_answer(run, answers):
    served = arrays(answers["good"])
    probabilities = expected(run, list(GOOD.values()))
    assert served["valid"].tolist() == [1] * len(GOOD)
    np.testing.assert_allclose(served["probabilities"], probabilities, atol=1e-5, rtol=0)
    best = [LABELS["subCategory"][index].encode() for index in probabilities.argmax(axis=1)]
    assert served["classes"][:, 0].tolist() == best


@pytest.mark.parametrize("size", BATCHES)
def test_a_batch_of_good_and_bad_photos_gets_each_photos_answer(answers, size):
    served, good = arrays(answers["batch", size]), arrays(answers["good"])
    assert {len(array) for array in served.values()} == {size}
    for row, photo in enumerate(BATCHES[size]):
        kind = MIXED.index(photo)
        is_good = kind < len(GOOD)
        assert served["valid"][row] == is_good
        for name, array in served.items():
            if array.dtype == object:
                wanted = good[name][kind] if is_good else b""
                assert (array[row] == wanted).all()
            elif name != "valid":
                wanted = good[name][kind] if is_good else 0
                np.testing.assert_allclose(array[row], wanted, atol=1e-5, rtol=0)


def test_pixels_get_the_answer_of_the_photos_they_are_from(answers):
    from_pixels, from_bytes = arrays(answers["pixels"]), arrays(answers["good"])
    assert from_pixels.keys() == from_bytes.keys()
    np.testing.assert_array_equal(from_pixels["classes"], from_bytes["classes"])
    np.testing.assert_allclose(
        from_pixels["probabilities"], from_bytes["probabilities"], atol=1e-6, rtol=0
    )


def test_embeddings_have_length_one_and_those_of_bad_photos_length_zero(answers):
    served = arrays(answers["embed"])
    assert served["embedding"].dtype == np.float32
    lengths = np.linalg.norm(served["embedding"], axis=1)
    good = [1] * len(GOOD) + [0] * len(BAD)
    assert served["valid"].tolist() == good
    np.testing.assert_allclose(lengths, good, atol=1e-5)


def test_rest_gives_an_object_a_photo_with_plain_text_and_numbers(answers):
    body = json.loads(response_to_json(answers["rest"]))
    assert body.keys() == {"predictions"}
    good, bad = body["predictions"]
    served = arrays(answers["good"])
    row = list(GOOD).index("jpeg")
    assert good["classes"] == [name.decode("utf-8") for name in served["classes"][row]]
    assert good["gender_classes"][0] in LABELS["gender"]
    assert good["scores"] == pytest.approx(served["scores"][row].tolist(), abs=1e-5)
    assert (good["valid"], bad["valid"]) == (1, 0)
    assert bad["classes"] == [""] * 3
    assert set(bad["probabilities"]) == {0.0}


def test_rest_gives_embeddings_under_their_name(answers):
    (answer,) = json.loads(response_to_json(answers["rest embed"]))["predictions"]
    assert answer.keys() == {"embedding", "valid"}
    assert np.linalg.norm(answer["embedding"]) == pytest.approx(1, abs=1e-5)


def test_no_output_is_taken_for_bytes_by_its_name(answers):
    # TF Serving would send such a one as base64.
    names = {name for response in answers.values() for name in response.outputs}
    assert not [name for name in names if name.endswith("_bytes")]


def test_warmup_asks_for_one_photo_and_for_the_largest_batch_by_each_signature(warmup):
    asked = [
        (message.model_spec.signature_name, tf.make_ndarray(message.inputs["image_bytes"]).shape)
        for message in warmup
    ]
    assert asked == [
        (signature, (size,))
        for signature in ("serving_default", "embed")
        for size in (1, MAX_BATCH_SIZE)
    ]
    assert {message.model_spec.name for message in warmup} == {"shop"}


def test_warmup_decodes_every_photo_it_sends(answers, warmup):
    for index in range(len(warmup)):
        assert arrays(answers["warmup", index])["valid"].all()

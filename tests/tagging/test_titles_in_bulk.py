"""A CSV of photos and titles, tagged by a run, its SavedModel, and both of TF Serving's APIs."""

import csv
import json
import zipfile
from concurrent.futures import ThreadPoolExecutor

import grpc
import numpy as np
import pytest
import tensorflow as tf
from serving.http_stand_in import serving
from serving.rest import request_from_json, response_to_json
from serving.tiny import LABELS, PHOTOS, save_tiny_run
from tensorflow_serving.apis import get_model_metadata_pb2
from tensorflow_serving.apis import prediction_service_pb2_grpc as service
from tensorflow_serving.apis.predict_pb2 import PredictResponse

from fashion_keras.decision.parameters import Acceptance, Decision, Weights
from fashion_keras.models.title_model import TERMS, build_title_model
from fashion_keras.predict import main
from fashion_keras.run import save_decision, save_title
from fashion_keras.serving.savedmodel import export_saved_model

WEIGHTS = {"subCategory": Weights(0.3, 2.0), "gender": Weights(1.5, 0.5)}
ROWS = [
    ("1", "jpeg.jpg", "Red <b>Shirt</b>"),
    ("2", "png.jpg", ""),
    ("3", "", "Blue Bag, of cotton"),
    ("4", "wide.jpg", '靴 👗 \\ "quoted"\nand more'),
    ("5", "gone.jpg", "Shirt"),
    ("6", "", ""),
]


def accept(share):
    return {"subCategory": Acceptance(share, 0.01, 1.0, 0.0)}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = save_tiny_run(tmp_path_factory.mktemp("titled") / "run")
    kernel = np.random.default_rng(7).normal(size=[1 + TERMS, sum(map(len, LABELS.values()))])
    save_title(folder, build_title_model(1, LABELS, np.ones(TERMS), kernel))
    for sees, decision in (
        ("photo", Decision("subCategory", accept=accept(1.0))),  # none is so sure
        ("title", Decision("subCategory", accept=accept(0.0))),
        ("both", Decision("subCategory", weights=WEIGHTS, accept=accept(0.0))),
    ):
        save_decision(folder, decision, "best.keras", sees)
    return folder


@pytest.fixture(scope="module")
def exported(run, tmp_path_factory):
    from fashion_keras.run import load_run

    return export_saved_model(load_run(run), tmp_path_factory.mktemp("models") / "shop")


@pytest.fixture
def shop(tmp_path):
    with open(tmp_path / "shop.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("sku", "photo", "title"), *ROWS])
    for name in ("jpeg", "png", "wide"):
        (tmp_path / f"{name}.jpg").write_bytes(PHOTOS[name])
    return tmp_path / "shop.csv"


COLUMNS = ("--path-column", "photo", "--id-column", "sku", "--title-column", "title")


def tagged(shop, *options):
    output = shop.with_name("tags.csv")
    output.unlink(missing_ok=True)
    assert main([str(shop), *COLUMNS, "--output", str(output), *map(str, options)]) == 0
    with open(output, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_each_row_is_answered_by_what_it_has(run, exported, shop):
    rows = tagged(shop, "--model", run)
    assert [row["id"] for row in rows] == [id for id, _, _ in ROWS]
    # By its photo alone the second is to be reviewed; the title has another threshold.
    assert [row["subCategory_decision"] for row in rows] == [
        "accept",
        "review",
        "accept",
        "accept",
        "review",
        "review",
    ]
    assert "gone.jpg" in rows[4]["path"] and rows[4]["error"]
    assert rows[5]["error"] == f"row 6 of {shop} names no photo"
    loaded = tf.saved_model.load(str(exported)).signatures
    for number, signature, given in (
        (0, "with_title", {"image_bytes": [PHOTOS["jpeg"]], "title": [ROWS[0][2]]}),
        (1, "serving_default", {"image_bytes": [PHOTOS["png"]]}),
        (2, "title_only", {"title": [ROWS[2][2]]}),
        (3, "with_title", {"image_bytes": [PHOTOS["wide"]], "title": [ROWS[3][2]]}),
    ):
        said = loaded[signature](**{name: tf.constant(value) for name, value in given.items()})
        assert rows[number]["subCategory"] == said["classes"].numpy()[0, 0].decode()
        assert float(rows[number]["gender_score"]) == pytest.approx(
            float(said["gender_scores"][0, 0]), abs=3e-6
        )


def same(rows, others):
    assert len(rows) == len(others)
    for one, other in zip(rows, others, strict=True):
        for name, value in one.items():
            if name.endswith("_score") and value:
                assert float(value) == pytest.approx(float(other[name]), abs=3e-6)
            else:
                assert value == other[name]


def test_an_exported_model_gives_the_runs_rows(run, exported, shop):
    same(tagged(shop, "--model", exported), tagged(shop, "--model", run))


def test_a_zip_of_photos_gives_the_folders_rows(run, shop):
    expected = tagged(shop, "--model", run)
    with zipfile.ZipFile(shop.with_name("photos.zip"), "w") as file:
        for name in ("jpeg", "png", "wide"):
            file.write(shop.with_name(f"{name}.jpg"), f"images/{name}.jpg")
            shop.with_name(f"{name}.jpg").unlink()
    found = tagged(shop, "--model", run, "--path-root", shop.with_name("photos.zip"))
    assert found[4].pop("error") != expected[4].pop("error")
    same(found, expected)


def test_rest_gives_the_runs_rows(run, exported, shop):
    loaded = tf.saved_model.load(str(exported)).signatures
    metadata = {
        name: {
            "inputs": {key: {} for key in signature.structured_input_signature[1]},
            "outputs": {key: {} for key in signature.structured_outputs},
        }
        for name, signature in loaded.items()
    }

    def post(path, body):
        request = request_from_json(
            json.dumps(body), "title" if body["signature_name"] == "title_only" else "image_bytes",
            tf.string,
        )  # fmt: skip
        return 200, json.loads(response_to_json(answered(loaded, request)))

    with serving() as server:
        server.get = lambda path: (
            200, {"metadata": {"signature_def": {"signature_def": metadata}}},
        )  # fmt: skip
        server.post = post
        there = tagged(shop, "--server", server.url, "--name", "shop", "--model", exported)
    same(there, tagged(shop, "--model", run))


def answered(loaded, request):
    given = {name: tf.constant(tf.make_ndarray(value)) for name, value in request.inputs.items()}
    response = PredictResponse()
    for name, value in loaded[request.model_spec.signature_name](**given).items():
        response.outputs[name].CopyFrom(tf.make_tensor_proto(value.numpy()))
    return response


class Service(service.PredictionServiceServicer):
    """TF Serving's gRPC API with an exported model behind it."""

    def __init__(self, loaded):
        self.loaded = loaded

    def GetModelMetadata(self, request, context):
        signatures = get_model_metadata_pb2.SignatureDefMap()
        for key, signature in self.loaded.items():
            found = signatures.signature_def[key]
            for name in signature.structured_input_signature[1]:
                found.inputs[name].SetInParent()
            for name in signature.structured_outputs:
                found.outputs[name].SetInParent()
        response = get_model_metadata_pb2.GetModelMetadataResponse()
        response.metadata["signature_def"].Pack(signatures)
        return response

    def Predict(self, request, context):
        return answered(self.loaded, request)


def test_grpc_gives_the_runs_rows(run, exported, shop):
    loaded = tf.saved_model.load(str(exported)).signatures
    with ThreadPoolExecutor(4) as pool:
        server = grpc.server(pool)
        service.add_PredictionServiceServicer_to_server(Service(loaded), server)
        url = f"grpc://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
        server.start()
        there = tagged(shop, "--server", url, "--name", "shop", "--model", exported)
        server.stop(None).wait()
    same(there, tagged(shop, "--model", run))


def test_a_model_of_photos_alone_is_asked_for_no_titles(tmp_path, shop, capsys):
    plain = save_tiny_run(tmp_path / "plain")
    assert main([str(shop), *COLUMNS, "--model", str(plain)]) == 2
    said = capsys.readouterr().err
    assert "takes no titles" in said and "retrain --part title" in said
    assert len(said.splitlines()) <= 2
    with serving() as server:
        assert main([str(shop), *COLUMNS, "--server", server.url, "--name", "shop"]) == 2
    assert "takes no titles" in capsys.readouterr().err

"""A stand-in for TF Serving: PredictRequests in, PredictResponses out, in a process of its own.

Knows TensorFlow and TF Serving's messages and nothing of ours. Loads the SavedModel into a
session by its tag, as TF Serving's C++ loader does, and feeds and fetches by signature.

python stand_in_server.py VERSION REQUESTS RESPONSES   (TFRecords of messages)
"""

import sys

import tensorflow as tf
from tensorflow_serving.apis.predict_pb2 import PredictRequest, PredictResponse


def main(version, requests, responses):
    for package in ("fashion_keras", "keras_cv"):
        try:
            __import__(package)
        except ImportError:
            continue
        sys.exit(f"{package} can be imported: the test proves nothing")
    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        graph = v1.saved_model.load(session, [v1.saved_model.tag_constants.SERVING], version)
        with tf.io.TFRecordWriter(responses) as writer:
            for record in v1.io.tf_record_iterator(requests):
                request = PredictRequest.FromString(record)
                signature = graph.signature_def[request.model_spec.signature_name]
                feeds = {
                    signature.inputs[name].name: tf.make_ndarray(tensor)
                    for name, tensor in request.inputs.items()
                }
                fetches = {name: info.name for name, info in signature.outputs.items()}
                response = PredictResponse(model_spec=request.model_spec)
                for name, value in session.run(fetches, feeds).items():
                    response.outputs[name].CopyFrom(tf.make_tensor_proto(value))
                writer.write(response.SerializeToString())


if __name__ == "__main__":
    main(*sys.argv[1:])

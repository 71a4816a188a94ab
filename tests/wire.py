"""TFRecord files and tf.Examples, read from their bytes alone: no TensorFlow, no protobuf.

https://www.tensorflow.org/tutorials/load_data/tfrecord and protobuf.dev/programming-guides/encoding
"""

import struct


def _table():
    for byte in range(256):
        for _ in range(8):
            byte = (byte >> 1) ^ (0x82F63B78 if byte & 1 else 0)
        yield byte


_CRC32C = tuple(_table())


def _masked_crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _CRC32C[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    crc ^= 0xFFFFFFFF
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


def records(path):
    """The records of a TFRecord file, checksums checked."""
    data, at, found = path.read_bytes(), 0, []
    while at < len(data):
        header = data[at : at + 8]
        (length,) = struct.unpack("<Q", header)
        (header_crc,) = struct.unpack_from("<I", data, at + 8)
        record = data[at + 12 : at + 12 + length]
        (crc,) = struct.unpack_from("<I", data, at + 12 + length)
        assert header_crc == _masked_crc32c(header)
        assert crc == _masked_crc32c(record)
        found.append(record)
        at += 16 + length
    return found


def example(record):
    """The features of a serialised tf.Example: bytes or int by name, one value each."""
    ((_, features),) = _fields(record)
    result = {}
    for _, entry in _fields(features):
        pair = dict(_fields(entry))
        ((kind, values),) = _fields(pair[2])
        if kind == 1:  # bytes_list
            ((_, value),) = _fields(values)
        else:  # int64_list, packed
            assert kind == 3
            ((_, packed),) = _fields(values)
            value, end = _varint(packed, 0)
            assert end == len(packed)
            value -= (value >> 63) << 64
        result[pair[1].decode()] = value
    return result


def examples(folder, info, split):
    """All examples of a split, in the order of the shards."""
    return [
        example(record)
        for shard in info.splits[split].shards
        for record in records(folder / shard.file)
    ]


def _varint(data, at):
    value = shift = 0
    while True:
        value |= (data[at] & 0x7F) << shift
        shift, at = shift + 7, at + 1
        if not data[at - 1] & 0x80:
            return value, at


def _fields(data):
    at, found = 0, []
    while at < len(data):
        key, at = _varint(data, at)
        assert key & 7 == 2, "only length-delimited fields are expected"
        length, at = _varint(data, at)
        found.append((key >> 3, data[at : at + length]))
        at += length
    return found

"""The broker's AMQP encoders byte by byte, the decoder, and the SDK's own decoder as a judge."""

from uuid import UUID

import pytest
from azure.servicebus._pyamqp._decode import decode_frame, decode_payload
from azure.servicebus._pyamqp._encode import encode_payload
from azure.servicebus._pyamqp.message import BatchMessage, Header, Properties
from azure.servicebus._pyamqp.message import Message as SdkMessage
from hypothesis import given
from hypothesis import strategies as st

from sandbox.servicebus import encoding as enc
from sandbox.servicebus import performatives as amqp
from sandbox.servicebus.decoding import (
    DecodeError,
    Described,
    Symbol,
    decode,
    skip,
    split_list,
    split_map,
)
from sandbox.servicebus.message import BATCH_FORMAT, parse_message, parse_transfer

TOKEN = UUID("00112233-4455-6677-8899-aabbccddeeff")


@pytest.mark.parametrize(
    ("encoded", "expected"),
    [
        (enc.boolean(True), "41"),
        (enc.boolean(False), "42"),
        (enc.boolean(None), "40"),
        (enc.ubyte(2), "5002"),
        (enc.ushort(258), "600102"),
        (enc.uint(0), "43"),
        (enc.uint(255), "52ff"),
        (enc.uint(256), "7000000100"),
        (enc.uint(None), "40"),
        (enc.ulong(0), "44"),
        (enc.ulong(1), "5301"),
        (enc.ulong(2**32), "800000000100000000"),
        (enc.int32(-1), "54ff"),
        (enc.int32(200), "71000000c8"),
        (enc.int64(127), "557f"),
        (enc.int64(128), "810000000000000080"),
        (enc.timestamp(1.5), "8300000000000005dc"),
        (enc.uuid(TOKEN), "9800112233445566778899aabbccddeeff"),
        (enc.binary(b"ab"), "a0026162"),
        (enc.string("é"), "a102c3a9"),
        (enc.symbol("ab"), "a3026162"),
        (enc.string("x" * 256), "b100000100" + "78" * 256),
        (enc.list_of(), "45"),
        (enc.list_of(enc.NULL, enc.TRUE), "c0030240" + "41"),
        (enc.map_of(()), "c10100"),
        (enc.map_of([(enc.symbol("a"), enc.uint(0))]), "c10502a30161" + "43"),
        (enc.symbol_array(["A"]), "e00701b3" + "00000001" + "41"),
        (enc.int64_array([1]), "e00a0181" + "0000000000000001"),
        (enc.timestamp_array([]), "e0020083"),
    ],
)
def test_each_type_has_its_exact_encoding(encoded: bytes, expected: str) -> None:
    assert encoded.hex() == expected


@pytest.mark.parametrize(
    ("encoded", "expected"),
    [
        (
            amqp.open_("c", 65536, 255),
            "005310 c0 13 0a a10163 40 7000010000 6000ff 40 40 40 40 40 40",
        ),
        (amqp.begin(1, 0, 5, 255), "005311 c0 0e 08 600001 43 5205 5205 52ff 40 40 40"),
        (
            amqp.flow(
                next_incoming_id=0,
                incoming_window=1,
                next_outgoing_id=2,
                outgoing_window=3,
                handle=0,
                delivery_count=4,
                link_credit=5,
            ),
            "005313 c0 11 0b 43 5201 5202 5203 43 5204 5205 40 42 42 40",
        ),
        (
            amqp.transfer(3, 0, b"t", message_format=0, settled=False, more=True),
            "005314 c0 0f 0b 5203 43 a00174 43 42 41 40 40 42 42 42",
        ),
        (
            amqp.disposition(amqp.RECEIVER, 7, amqp.accepted()),
            "005315 c0 0c 06 41 5207 5207 41 005324 45 42",
        ),
        (amqp.detach(1), "005316 c0 05 03 5201 41 40"),
        (amqp.end(), "005317 c0 02 01 40"),
        (amqp.close(), "005318 c0 02 01 40"),
        (amqp.rejected(), "005325 c0 02 01 40"),
        (amqp.released(), "005326 45"),
        (
            amqp.modified(delivery_failed=True, undeliverable_here=False),
            "005327 c0 04 03 41 42 40",
        ),
        (amqp.error("a:b", "c"), "00531d c0 0c 03 a303613a62 a10163 c10100"),
        (amqp.sasl_outcome(0), "005344 c0 04 02 5000 40"),
        (amqp.frame(1, b"\x40"), "00000009 02 00 0001 40"),
    ],
)
def test_each_performative_writes_every_field(encoded: bytes, expected: str) -> None:
    assert encoded.hex() == expected.replace(" ", "")


def test_an_attach_writes_all_fourteen_fields() -> None:
    encoded = amqp.attach(
        name="n",
        handle=1,
        role=amqp.SENDER,
        snd_settle_mode=0,
        rcv_settle_mode=1,
        source=enc.NULL,
        target=enc.NULL,
        initial_delivery_count=0,
        max_message_size=9,
    )

    expected = "005312 c0 15 0e a1016e 5201 42 5000 5001 40 40 40 42 43 5309 40 40 40"
    assert encoded.hex() == expected.replace(" ", "")


def test_the_sdk_reads_an_error_with_three_elements() -> None:
    body = amqp.detach(4, amqp.error("amqp:not-found", "gone"))

    code, fields = decode_frame(memoryview(body))

    assert (code, fields) == (amqp.DETACH, [4, True, [b"amqp:not-found", b"gone", {}]])


@pytest.mark.parametrize("settled_state", [amqp.accepted(), amqp.rejected(), amqp.released()])
def test_the_sdk_reads_our_dispositions(settled_state: bytes) -> None:
    _, fields = decode_frame(memoryview(amqp.disposition(amqp.SENDER, 300, settled_state)))

    assert fields[:4] == [False, 300, 300, True]
    assert set(fields[4]) <= {"accepted", "rejected", "released"}


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.text(max_size=300)
    | st.binary(max_size=300)
    | st.uuids(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def _encode(value: object) -> bytes:
    if value is None or isinstance(value, bool):
        return enc.boolean(value)
    if isinstance(value, list):
        return enc.list_of(*map(_encode, value))
    if isinstance(value, dict):
        return enc.map_of((enc.string(key), _encode(item)) for key, item in value.items())
    encoders = {int: enc.int64, str: enc.string, bytes: enc.binary, UUID: enc.uuid}
    return encoders[type(value)](value)


@given(VALUES)
def test_what_is_encoded_is_decoded_and_measured_alike(value: object) -> None:
    encoded = _encode(value) + b"rest"

    decoded, end = decode(encoded)

    assert decoded == value
    assert end == skip(encoded, 0) == len(encoded) - 4


@given(st.binary(max_size=60))
def test_arbitrary_bytes_are_decoded_or_refused_but_never_break_the_decoder(data: bytes) -> None:
    for read in (decode, parse_message, split_list, split_map):
        try:
            read(data)
        except DecodeError:
            continue


@pytest.mark.parametrize(
    "data", ["", "a1", "a105aa", "b1ffffffff", "c0", "70ff", "98aa", "ff", "a101ff", "0053"]
)
def test_truncated_or_invalid_values_are_refused(data: str) -> None:
    with pytest.raises(DecodeError):
        decode(bytes.fromhex(data))


def test_nesting_and_counts_are_bounded() -> None:
    with pytest.raises(DecodeError, match="deeper"):
        decode(bytes.fromhex("c0ff01") * 100 + enc.NULL)
    with pytest.raises(DecodeError, match="more than"):
        decode(bytes.fromhex("d0ffffffffffffffff"))


def test_arrays_symbols_and_described_values_are_decoded() -> None:
    assert decode(enc.int64_array([1, -2]))[0] == [1, -2]
    assert decode(enc.string_array(["a", "b"]))[0] == ["a", "b"]
    assert decode(b"\xe0\x01\x00")[0] == []  # as the SDK writes an empty array
    assert isinstance(decode(enc.symbol("x"))[0], Symbol)
    assert decode(enc.described(0x24, enc.list_of()))[0] == Described(0x24, [])


def _sdk_bytes(message: SdkMessage) -> bytes:
    output = bytearray()
    encode_payload(output, message)
    return bytes(output)


def test_the_bare_message_stays_byte_identical() -> None:
    sent = _sdk_bytes(
        SdkMessage(
            header=Header(ttl=2000, durable=True),
            delivery_annotations={"x": 1},
            message_annotations={"x-opt-partition-key": "p", "x-opt-sequence-number": 99},
            properties=Properties(message_id="m1", group_id="s1"),
            application_properties={"n": 1, "t": "text"},
            data=[b"one", b"two"],
        )
    )

    message = parse_message(sent)
    delivered = message.encode(3, [(enc.symbol("x-opt-sequence-number"), enc.int64(7))])

    bare = b"".join(raw for _, raw in message.bare)
    assert bare in sent
    assert delivered.endswith(bare)
    assert (message.message_id, message.session_id, message.ttl) == ("m1", "s1", 2.0)
    assert message.application_properties == {"n": 1, "t": "text"}
    assert message.body == b"onetwo"
    seen = decode_payload(memoryview(delivered))
    assert seen.header.delivery_count == 3
    assert seen.message_annotations == {b"x-opt-partition-key": b"p", b"x-opt-sequence-number": 7}
    assert seen.data == [b"one", b"two"]


def test_a_batch_is_unpacked_in_order() -> None:
    inner = [
        _sdk_bytes(SdkMessage(data=[text], properties=Properties(message_id=text.decode())))
        for text in (b"1", b"2")
    ]
    envelope = _sdk_bytes(BatchMessage(data=inner))

    messages = parse_transfer(envelope, BATCH_FORMAT)

    assert [(m.message_id, m.body) for m in messages] == [("1", b"1"), ("2", b"2")]


def test_a_dead_letter_reason_is_added_between_properties_and_body() -> None:
    message = parse_message(
        _sdk_bytes(
            SdkMessage(
                properties=Properties(message_id="m"),
                application_properties={"kept": 1, "DeadLetterReason": "old"},
                data=[b"body"],
            )
        )
    )

    marked = message.with_dead_letter_reason("new", None)

    seen = decode_payload(memoryview(marked.encode(0, [])))
    assert seen.application_properties == {b"kept": 1, b"DeadLetterReason": b"new"}
    assert seen.data == [b"body"]
    assert message.with_dead_letter_reason(None, None).encode(0, []) == message.encode(0, [])

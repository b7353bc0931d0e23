"""JSON of the stream's events: `{"event": {"<name>": {...}}}`, in both directions.

The decoders take anything from anybody and raise CodecError alone. Shapes: Amazon Nova user guide, "Using the bidirectional streaming API".
"""

from s2s.codec_input import decode_input, encode_input
from s2s.codec_output import decode_output, encode_output

__all__ = ["decode_input", "decode_output", "encode_input", "encode_output"]

"""Detection of media types by the first bytes of a file. Any other type is a plain `file`.

The first bytes choose the decoder, which then confirms the type; file name and upload headers are ignored.
"""

from dataclasses import dataclass

HEAD_BYTES = 4096
FILE_CONTENT_TYPE = "application/octet-stream"


@dataclass(frozen=True, slots=True)
class MediaType:
    """A media type. `format`: the decoder's name for it (Pillow's for images, FFmpeg's demuxer for recordings)."""

    kind: str  # image | av
    content_type: str
    format: str


JPEG = MediaType("image", "image/jpeg", "JPEG")
PNG = MediaType("image", "image/png", "PNG")
GIF = MediaType("image", "image/gif", "GIF")
WEBP = MediaType("image", "image/webp", "WEBP")
AVIF = MediaType("image", "image/avif", "AVIF")
MP4 = MediaType("av", "video/mp4", "mp4")
QUICKTIME = MediaType("av", "video/quicktime", "mov")
WEBM = MediaType("av", "video/webm", "webm")
OGG = MediaType("av", "audio/ogg", "ogg")
MP3 = MediaType("av", "audio/mpeg", "mp3")
AAC = MediaType("av", "audio/aac", "aac")
FLAC = MediaType("av", "audio/flac", "flac")
WAV = MediaType("av", "audio/wav", "wav")

TYPES = {
    known.content_type: known for known in (JPEG, PNG, GIF, WEBP, AVIF, MP4, QUICKTIME, WEBM, OGG, MP3, AAC, FLAC, WAV)
}

_MP4_BRANDS = {
    b"isom", b"iso2", b"iso3", b"iso4", b"iso5", b"iso6", b"iso8", b"iso9", b"mp41", b"mp42", b"avc1", b"dash",
    b"M4V ", b"M4VH", b"M4VP", b"M4A ", b"M4B ", b"MSNV", b"3gp4", b"3gp5", b"3gp6", b"3gp7",
}  # fmt: skip


def claimed(head: bytes) -> MediaType | None:
    """Return the type that the first bytes indicate, None if it is not in the table."""
    for magic, known in (
        (b"\xff\xd8\xff", JPEG),
        (b"\x89PNG\r\n\x1a\n", PNG),
        (b"GIF87a", GIF),
        (b"GIF89a", GIF),
        (b"OggS", OGG),
        (b"fLaC", FLAC),
        (b"ID3", MP3),
    ):
        if head.startswith(magic):
            return known
    if head[:4] == b"RIFF":
        return {b"WEBP": WEBP, b"WAVE": WAV}.get(head[8:12])
    if head[4:8] == b"ftyp":
        return _iso_media(head)
    if head.startswith(b"\x1a\x45\xdf\xa3"):
        return WEBM if b"webm" in head[:64] else None
    if len(head) > 1 and head[0] == 0xFF and head[1] & 0xF6 == 0xF0:
        return AAC
    if len(head) > 1 and head[0] == 0xFF and head[1] & 0xE6 in {0xE2, 0xE4, 0xE6}:
        return MP3
    return None


def _iso_media(head: bytes) -> MediaType | None:
    size = min(int.from_bytes(head[:4], "big"), 256, len(head))
    brands = [head[8:12], *(head[at : at + 4] for at in range(16, size - 3, 4))]
    if brands[0] in {b"avif", b"avis"} or (brands[0] in {b"mif1", b"msf1"} and {b"avif", b"avis"} & set(brands)):
        return AVIF
    if brands[0] == b"qt  ":
        return QUICKTIME
    return MP4 if _MP4_BRANDS & set(brands) else None

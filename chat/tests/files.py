"""Files that tests upload, made here: nothing binary lies in the repository."""

import io
import math
import struct
import wave
from typing import Any

import av
from django.core.files.uploadedfile import SimpleUploadedFile
from PIL import Image

from chat.tests.calls import BASE, api

ATTACHMENTS = f"{BASE}attachments/"
PRIVATE = "48.8584 north, my home"


def image(format: str = "PNG", size: tuple[int, int] = (64, 48), **options: Any) -> bytes:
    out = io.BytesIO()
    Image.radial_gradient("L").resize(size).convert("RGB").save(out, format, **options)
    return out.getvalue()


def photo(size: tuple[int, int] = (64, 48)) -> bytes:
    """A JPEG held sideways, whose EXIF tells where it was taken."""
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010E] = PRIVATE
    return image("JPEG", size, exif=exif, comment=PRIVATE.encode())


def animation(format: str, frames: int = 4) -> bytes:
    out = io.BytesIO()
    pictures = [Image.new("RGB", (40, 30), (number * 50, 90, 0)) for number in range(frames)]
    pictures[0].save(out, format, save_all=True, append_images=pictures[1:], duration=120)
    return out.getvalue()


def sound(seconds: float = 2.0) -> bytes:
    """A WAV that grows louder."""
    out = io.BytesIO()
    count = int(8_000 * seconds)
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8_000)
        file.writeframes(
            b"".join(struct.pack("<h", int(20_000 * math.sin(at / 4) * at / count)) for at in range(count))
        )
    return out.getvalue()


def voice_note(format: str = "ogg", codec: str = "libopus", **tags: str) -> bytes:
    out = io.BytesIO()
    with av.open(io.BytesIO(sound())) as source, av.open(out, "w", format=format) as target:
        target.metadata.update(tags)
        stream: Any = target.add_stream(codec, rate=48_000)
        stream.layout = "mono"
        resampler = av.AudioResampler(
            format=stream.format.name, layout="mono", rate=48_000, frame_size=stream.frame_size or None
        )
        for frame in [*source.decode(audio=0), None]:
            for piece in resampler.resample(frame):
                target.mux(stream.encode(piece))
        target.mux(stream.encode(None))
    return out.getvalue()


def video(format: str = "mp4", codec: str = "libx264", seconds: int = 2, **tags: str) -> bytes:
    out = io.BytesIO()
    with av.open(out, "w", format=format) as target:
        target.metadata.update(tags)
        stream: Any = target.add_stream(codec, rate=10)
        stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv420p"
        for number in range(seconds * 10):
            picture = Image.new("RGB", (160, 120), (200, number * 10 % 255, 0))
            target.mux(stream.encode(av.VideoFrame.from_image(picture)))
        target.mux(stream.encode(None))
    return out.getvalue()


def post(user: Any, content: bytes, name: str = "file.bin") -> Any:
    """Upload and return the answer."""
    file = SimpleUploadedFile("x", content, content_type="text/plain")
    file._name = name  # type: ignore[attr-defined]  # past Django's own cleaning
    return api(user).post(ATTACHMENTS, {"file": file}, format="multipart")


def upload(user: Any, content: bytes, name: str = "file.bin") -> dict[str, Any]:
    answer = post(user, content, name)
    assert answer.status_code == 201, answer.content
    return answer.json()


def meta(user: Any, attachment: dict[str, Any]) -> dict[str, Any]:
    answer = api(user).get(f"{ATTACHMENTS}{attachment['uuid']}/meta/")
    assert answer.status_code == 200, answer.content
    return answer.json()


def read(user: Any, attachment: dict[str, Any], path: str = "", **headers: str) -> Any:
    return api(user).get(f"{ATTACHMENTS}{attachment['uuid']}/{path}", headers=headers)


def content(answer: Any) -> bytes:
    return b"".join(answer.streaming_content)

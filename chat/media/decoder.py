"""Decoder process for untrusted files: separate, so that it may crash, be killed or run out of memory.

It imports nothing of Django. It reads one JSON request per line on standard input and writes one answer per line on
standard output; it exits at end of input, or after a minute without work. Limits: memory, output size, pixels, frames;
the caller limits the time (`decoding.py`).

    {"do": "probe", "path": …, "kind": "image"|"av", "format": …}
    {"do": "image" | "av", …, "out": folder}      writes `content` (unless "same") and `thumbnail` into the folder
    {"refused": "why"}                            it does not decode as the claimed type
"""

import base64
import itertools
import json
import os
import resource
import select
import sys
import time
import warnings
from collections.abc import Iterator
from typing import Any

PIXELS = 64_000_000  # per image
FRAMES = 1_500  # per animation
FRAME_PIXELS = 150_000_000  # per animation, all frames together
THUMBNAIL_SIDE, POSTER_SIDE = 320, 640
WAVEFORM_BYTES = 64
AUDIO_SECONDS_MAX = 20.0  # processing time for one waveform
MEMORY_BYTES = 2 * 1024**3
IDLE_SECONDS = 60
# Metadata that encoders write about themselves. Any other metadata of a recording is personal.
TECHNICAL = {
    "major_brand", "minor_version", "compatible_brands", "encoder", "language", "handler_name", "vendor_id", "duration",
    "timecode",
}  # fmt: skip


class Refused(Exception):
    """The file does not decode as the claimed type, or exceeds a limit."""


# --- Images -----------------------------------------------------------------------------------------------------------


def _open_image(path: str, format: str) -> Any:
    from PIL import Image

    Image.MAX_IMAGE_PIXELS = PIXELS
    warnings.simplefilter("error", Image.DecompressionBombWarning)
    image = Image.open(path, formats=["JPEG", "MPO"] if format == "JPEG" else [format])
    if image.width * image.height > PIXELS:
        raise Refused("pixels")
    return image


def probe_image(path: str, format: str) -> dict[str, Any]:
    with _open_image(path, format) as image:
        frames = _frames(image)
        width, height = image.width, image.height
        if format in {"JPEG", "PNG", "WEBP", "AVIF"} and image.getexif().get(0x0112, 1) in {5, 6, 7, 8}:
            width, height = height, width
    return {"width": width, "height": height, "frames": frames}


def _frames(image: Any) -> int:
    if image.format in {"JPEG", "MPO"}:  # MPO: JPEG with a second view of the same picture
        return 1
    frames = int(getattr(image, "n_frames", 1))
    if frames > FRAMES or (frames > 1 and frames * image.width * image.height > FRAME_PIXELS):
        raise Refused("frames")
    return frames


def image(path: str, format: str, out: str) -> dict[str, Any]:
    """Re-encode the image without metadata, upright and in sRGB, and write its thumbnail."""
    with _open_image(path, format) as source:
        if _frames(source) > 1:
            first = _animation(source, format, f"{out}/content")
        else:
            source.load()
            first = _plain(source)
            _save_still(first, format, f"{out}/content")
    hashed = _thumbnail(first, f"{out}/thumbnail", THUMBNAIL_SIDE)
    return {"width": first.width, "height": first.height, "thumbhash": hashed}


def _plain(source: Any) -> Any:
    """Return a copy of only the pixels: rotated by EXIF, in sRGB, in a mode that every format supports."""
    from PIL import ImageOps

    picture = ImageOps.exif_transpose(source)
    picture = _in_srgb(picture)
    if picture.mode in {"P", "PA"} or "transparency" in picture.info:
        picture = picture.convert("RGBA" if picture.mode == "PA" or "transparency" in picture.info else "RGB")
    elif picture.mode == "1":
        picture = picture.convert("L")
    elif picture.mode.startswith("I;16"):
        picture = picture.convert("I").point(lambda value: value / 256).convert("L")
    elif picture.mode not in {"L", "LA", "RGB", "RGBA"}:
        picture = picture.convert("RGB")
    picture = picture.copy()
    picture.info = {}
    return picture


def _in_srgb(picture: Any) -> Any:
    import io

    from PIL import ImageCms

    profile = picture.info.get("icc_profile")
    if not profile or picture.mode not in {"RGB", "RGBA", "CMYK"}:
        return picture
    mode = "RGBA" if picture.mode == "RGBA" else "RGB"
    try:
        done = ImageCms.profileToProfile(
            picture, ImageCms.ImageCmsProfile(io.BytesIO(profile)), ImageCms.createProfile("sRGB"), outputMode=mode
        )
    except (ImageCms.PyCMSError, OSError, ValueError):
        return picture
    if done is not None and "transparency" not in picture.info:
        done.info.pop("icc_profile", None)
        return done
    return picture


def _save_still(picture: Any, format: str, path: str) -> None:
    if format == "JPEG":
        if picture.mode not in {"L", "RGB"}:
            picture = picture.convert("RGB")
        picture.save(path, "JPEG", quality=88, progressive=True)
    elif format == "WEBP":
        picture.save(path, "WEBP", quality=88, method=3)
    elif format == "AVIF":
        picture.save(path, "AVIF", quality=80, speed=8)
    else:
        picture.save(path, format)


def _animation(source: Any, format: str, path: str) -> Any:
    """Re-encode every frame; return the first one."""
    durations: list[int] = []
    frames = int(source.n_frames)
    for number in range(frames):
        source.seek(number)
        source.load()  # WebP has a frame's duration only after decoding it
        durations.append(max(0, int(source.info.get("duration") or 100)))
    loop = source.info.get("loop", 0)

    def pictures() -> Iterator[Any]:
        for number in range(frames):
            source.seek(number)
            picture = source.convert("RGBA")
            picture.info = {}
            yield picture

    first, rest = next(every := pictures()), every
    options: dict[str, Any] = {"save_all": True, "append_images": rest, "duration": durations}
    if format != "AVIF":
        options["loop"] = loop if isinstance(loop, int) else 0
    if format == "GIF":
        options["disposal"] = 2
    if format == "WEBP":
        options |= {"quality": 80, "method": 2}
    if format == "PNG":  # its encoder reads every frame twice
        options |= {"append_images": list(rest), "disposal": 0, "blend": 0}
    first.save(path, format, **options)
    return first


def _thumbnail(picture: Any, path: str, side: int) -> str:
    """Write a small WebP and return its ThumbHash in base64."""
    from thumbhash import rgba_to_thumb_hash

    small = picture.copy()
    small.thumbnail((side, side))
    if small.mode not in {"RGB", "RGBA"}:
        small = small.convert("RGBA" if small.mode in {"LA", "PA"} else "RGB")
    small.save(path, "WEBP", quality=80, method=3)
    tiny = small.convert("RGBA")
    tiny.thumbnail((100, 100))
    return base64.b64encode(bytes(rgba_to_thumb_hash(tiny.width, tiny.height, tiny.tobytes()))).decode()


# --- Video and audio --------------------------------------------------------------------------------------------------


def _open_recording(file: Any, format: str) -> Any:
    """Open with a named demuxer: one that FFmpeg guesses might open other files or URLs."""
    import av

    demuxer = {"mp4": "mov", "mov": "mov", "webm": "matroska"}.get(format, format)
    return av.open(file, "r", format=demuxer)


def _streams(container: Any) -> tuple[Any, Any]:
    """Return the video and the audio stream, None for a missing one. Raises Refused without either."""
    pictures = [one for one in container.streams.video if not _is_cover(one)]
    video = pictures[0] if pictures else None
    audio = container.streams.audio[0] if container.streams.audio else None
    if video is None and audio is None:
        raise Refused("no stream")
    if video is not None and not 0 < video.width * video.height <= PIXELS:
        raise Refused("pixels")
    return video, audio


def _is_cover(stream: Any) -> bool:
    disposition = getattr(stream, "disposition", None)
    return "attached_pic" in str(disposition).lower()


def _duration_ms(container: Any, stream: Any) -> int | None:
    if container.duration:
        return round(container.duration / 1000)
    if stream is not None and stream.duration and stream.time_base:
        return round(float(stream.duration * stream.time_base) * 1000)
    return None


def probe_av(path: str, format: str) -> dict[str, Any]:
    with open(path, "rb") as file, _open_recording(file, format) as container:
        video, audio = _streams(container)
        answer: dict[str, Any] = {"kind": "video" if video is not None else "audio"}
        answer["duration_ms"] = _duration_ms(container, video if video is not None else audio)
        if video is not None:
            answer |= {"width": video.width, "height": video.height}
        return answer


def av(path: str, format: str, out: str) -> dict[str, Any]:
    """Decode a recording far enough to know that it plays: poster and duration, or waveform; drop metadata."""
    with open(path, "rb") as file, _open_recording(file, format) as container:
        video, audio = _streams(container)
        personal = _is_personal(container)
        answer = _video(container, video, out) if video is not None else _audio(container, audio)
    if answer["duration_ms"] is None:
        answer["duration_ms"] = _measured_ms(path, format)
    if personal:
        _copy_without_metadata(path, format, f"{out}/content")
    return answer | {"same": not personal}


def _video(container: Any, stream: Any, out: str) -> dict[str, Any]:
    stream.thread_type = "NONE"
    for frame in itertools.islice(container.decode(stream), 1):
        picture = frame.to_image()
        turn = int(getattr(frame, "rotation", 0) or 0)
        if turn:
            picture = picture.rotate(turn, expand=True)
        hashed = _thumbnail(picture, f"{out}/thumbnail", POSTER_SIDE)
        return {
            "kind": "video",
            "width": picture.width,
            "height": picture.height,
            "duration_ms": _duration_ms(container, stream),
            "thumbhash": hashed,
        }
    raise Refused("no frame")


def _audio(container: Any, stream: Any) -> dict[str, Any]:
    from av.audio.resampler import AudioResampler

    resampler = AudioResampler(format="s16", layout="mono", rate=8_000)
    started, samples = time.monotonic(), 0
    peaks: list[int] = []  # one per tenth of a second
    rest = b""
    for frame in itertools.chain(container.decode(stream), (None,)):
        for piece in resampler.resample(frame):
            data = rest + bytes(piece.planes[0])[: piece.samples * 2]
            samples += piece.samples
            usable = len(data) - len(data) % 1_600
            for at in range(0, usable, 1_600):
                window = memoryview(data)[at : at + 1_600].cast("h")
                peaks.append(max(max(window), -min(window)))
            rest = data[usable:]
        if time.monotonic() - started > AUDIO_SECONDS_MAX:
            return {"kind": "audio", "duration_ms": _duration_ms(container, stream), "waveform": waveform(peaks)}
    if rest:
        window = memoryview(rest).cast("h")
        peaks.append(max(max(window), -min(window)))
    if not samples:
        raise Refused("no sound")
    measured, said = round(samples / 8), _duration_ms(container, stream)
    # The header is more exact than the decoded length, which includes the encoder's padding.
    duration = said if said is not None and abs(said - measured) <= 500 else measured
    return {"kind": "audio", "duration_ms": duration, "waveform": waveform(peaks)}


def waveform(peaks: list[int]) -> list[int]:
    """Return 64 integers from 0 to 255; the loudest is 255 unless all is silent."""
    loudest = max(peaks, default=0)
    if not loudest:
        return [0] * WAVEFORM_BYTES
    count = len(peaks)
    bars = []
    for bar in range(WAVEFORM_BYTES):
        start = bar * count // WAVEFORM_BYTES
        end = max(start + 1, (bar + 1) * count // WAVEFORM_BYTES)
        bars.append(min(255, round(max(peaks[start:end]) * 255 / loudest)))
    return bars


def _measured_ms(path: str, format: str) -> int | None:
    """Return the duration by the packets, for recordings of browsers, whose header has none."""
    end = 0.0
    with open(path, "rb") as file, _open_recording(file, format) as container:
        for packet in container.demux():
            if packet.pts is not None and packet.time_base is not None:
                end = max(end, float((packet.pts + (packet.duration or 0)) * packet.time_base))
    return round(end * 1000) or None


def _is_personal(container: Any) -> bool:
    """Return whether it has metadata or streams besides audio, video and the encoder's own tags."""
    tags = set(container.metadata)
    for stream in container.streams:
        tags |= set(stream.metadata)
    others = [stream for stream in container.streams if stream.type not in {"audio", "video"} or _is_cover(stream)]
    return bool(others) or any(tag.lower() not in TECHNICAL for tag in tags)


def _copy_without_metadata(path: str, format: str, target: str) -> None:
    """Remux the packets into a new container without metadata."""
    import av as pyav

    muxer = {"aac": "adts"}.get(format, format)
    options = {"movflags": "+faststart"} if format in {"mp4", "mov"} else {}
    options |= {"id3v2_version": "0", "write_id3v1": "0"} if format == "mp3" else {}
    with (
        open(path, "rb") as file,
        _open_recording(file, format) as source,
        pyav.open(target, "w", format=muxer, options=options) as copy,
    ):
        streams = {}
        for stream in source.streams:
            if stream.type in {"audio", "video"} and not _is_cover(stream):
                streams[stream.index] = made = copy.add_stream_from_template(stream)
                made.metadata.clear()
        copy.metadata.clear()
        for packet in source.demux([source.streams[index] for index in streams]):
            if packet.dts is not None:
                packet.stream = streams[packet.stream.index]
                copy.mux(packet)


# --- The process ------------------------------------------------------------------------------------------------------


def answer(request: dict[str, Any]) -> dict[str, Any]:
    do, path, format = request["do"], request["path"], request["format"]
    try:
        if do == "probe":
            return (probe_image if request["kind"] == "image" else probe_av)(path, format)
        done = (image if do == "image" else av)(path, format, request["out"])
        return done
    except Refused as error:
        return {"refused": str(error)}
    except Exception as error:  # any error of a decoder: the file does not decode
        return {"refused": type(error).__name__}


def main() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024**3, 1024**3))
    os.nice(5)
    while True:
        ready, _, _ = select.select([sys.stdin], [], [], IDLE_SECONDS)
        line = sys.stdin.readline() if ready else ""
        if not line:
            return
        sys.stdout.write(json.dumps(answer(json.loads(line))) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()

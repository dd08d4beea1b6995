"""Owns the encoding: frames go into an ffmpeg process one by one, and a file that browsers play comes out."""

import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import imageio_ffmpeg

from services.errors import PassingError

_DEADLINE_S: Final = 60
_MOST_TOLD: Final = 300


def encode(frames: Iterable[bytes], path: Path, *, size: tuple[int, int], fps: int) -> None:
    """Encode frames as H.264 in MP4. The same frames give the same bytes.

    Args:
        frames: rows from the top, three bytes RGB a pixel.
        path: the file to write.
        size: width and height in pixels, both even.
        fps: frames a second.

    Raises:
        PassingError: ffmpeg could not.
    """
    with path.with_suffix(".log").open("w+b") as told:
        process = subprocess.Popen(  # noqa: S603 - our own words
            _command(path, size, fps), stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=told
        )
        try:
            _feed(process, frames)
            process.wait(_DEADLINE_S)
        except BaseException:
            # Stopped, or ffmpeg has ended early: nothing is left running, whatever happens.
            process.kill()
            process.wait()
            raise
        if process.returncode != 0:
            told.seek(0)
            reason = told.read().decode(errors="replace").strip()[-_MOST_TOLD:]
            raise PassingError("ENCODER_FAILED", f"ffmpeg ended with {process.returncode}: {reason}")


def _feed(process: "subprocess.Popen[bytes]", frames: Iterable[bytes]) -> None:
    assert process.stdin is not None  # noqa: S101 - it is a pipe
    with process.stdin as pipe:
        for frame in frames:
            try:
                pipe.write(frame)
            except BrokenPipeError:
                return  # its exit code says why


def _command(path: Path, size: tuple[int, int], fps: int) -> list[str]:
    return [
        imageio_ffmpeg.get_ffmpeg_exe(),
        *("-hide_banner", "-loglevel", "error", "-nostdin", "-y"),
        *("-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{size[0]}x{size[1]}", "-r", str(fps), "-i", "-"),
        *("-an", "-c:v", "libx264", "-preset", "veryfast", "-crf", "21"),
        # Several threads cut the film at other places from run to run.
        *("-threads", "1", "-fflags", "+bitexact", "-flags:v", "+bitexact", "-map_metadata", "-1"),
        # What browsers play: full chroma they do not, and the index comes first so that they can begin at once.
        *("-vf", "scale=out_color_matrix=bt709:out_range=tv", "-pix_fmt", "yuv420p"),
        *("-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709", "-color_range", "tv"),
        *("-movflags", "+faststart", "-f", "mp4", str(path)),
    ]

"""Owns the room and the desk: echo, loudness, a limiter and the fades at both ends."""

from typing import Final

import numpy as np

from worker.providers.music.sound import RATE, Wave

# Loudness of the whole piece and the highest sample, against full scale.
_LOUDNESS_DB: Final = -18.0
_CEILING: Final = 0.89
# The limiter looks at blocks of this many samples, and so many blocks ahead and behind.
_BLOCK: Final = 64
_REACH: Final = 24
_FADE_IN_S: Final = 0.012
# Samples that the room answers at once.
_CONVOLVED: Final = 1 << 18


def echo(send: Wave, echo_s: float, rng: np.random.Generator) -> None:
    """Turn what is sent (2 by samples) into its echo, in place.

    The room is noise that dies away, high frequencies first (after Moorer), convolved block by block (overlap
    and add), so that long pieces need no more memory than short ones.
    """
    length = int(echo_s * 1.1 * RATE)
    size = 1 << int(np.ceil(np.log2(_CONVOLVED + length)))
    for side in range(2):
        response = np.fft.rfft(_response(length, echo_s, rng), size)
        rest: Wave = np.zeros(length, dtype=np.float32)
        for start in range(0, send.shape[1], _CONVOLVED):
            part = send[side, start : start + _CONVOLVED]
            answer = np.fft.irfft(np.fft.rfft(part, size) * response, size)[: len(part) + length]
            heard = np.asarray(answer, dtype=np.float32)
            heard[:length] += rest
            rest = heard[len(part) :]
            part[:] = heard[: len(part)]


def _response(length: int, echo_s: float, rng: np.random.Generator) -> Wave:
    t = np.arange(length) / RATE
    f = np.fft.rfftfreq(length, 1 / RATE)
    total = np.zeros(length)
    bands = ((150.0, 700.0, 1.0), (700.0, 3000.0, 0.85), (3000.0, 9000.0, 0.45))
    for low, high, lasts in bands:
        spectrum = np.fft.rfft(rng.standard_normal(length))
        spectrum *= 1 / (1 + (low / np.maximum(f, 1)) ** 4) / (1 + (f / high) ** 4)
        total += np.fft.irfft(spectrum, length) * np.exp(-6.9 * t / (echo_s * lasts))
    # The hall answers after a moment, and not at once with all its might.
    delay = int(0.018 * RATE)
    total *= np.minimum(t / 0.03, 1)
    response = np.zeros(length, dtype=np.float32)
    response[delay:] = total[: length - delay]
    for at, strength in ((0.011, 0.5), (0.019, -0.38), (0.027, 0.3), (0.041, -0.22)):
        place = int(at * (0.9 + 0.2 * float(rng.random())) * RATE)
        if place < length:
            response[place] += strength
    return np.asarray(response / np.sqrt(np.sum(np.square(response, dtype=np.float64))), dtype=np.float32)


def master(mix: Wave, fade_out_s: float) -> None:
    """Bring a mix (2 by samples) to its loudness in place: no clipping, silence at both ends."""
    mix -= mix.mean(axis=1, dtype=np.float64).astype(np.float32)[:, None]
    # A second at a time: no copy of the whole piece, and no product whose last digit depends on the processor.
    seconds = range(0, mix.shape[1], RATE)
    power = sum(float(np.square(mix[:, at : at + RATE], dtype=np.float64).sum()) for at in seconds) / mix.size
    loud = float(np.sqrt(power))
    mix *= np.float32(10 ** (_LOUDNESS_DB / 20) / max(loud, 1e-9))
    _limit(mix)
    _fade(mix, fade_out_s)


def _limit(mix: Wave) -> None:
    """Turn loud moments down before they come, slowly enough not to be heard."""
    samples = mix.shape[1]
    blocks = -(-samples // _BLOCK)
    padded = np.zeros(blocks * _BLOCK, dtype=np.float32)
    np.maximum(np.abs(mix[0]), np.abs(mix[1]), out=padded[:samples])
    peaks = padded.reshape(blocks, _BLOCK).max(axis=1)
    wanted = np.minimum(1, _CEILING / np.maximum(peaks, 1e-9))
    if float(wanted.min()) >= 1:
        return
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(wanted, 2 * _REACH, mode="edge"), 2 * _REACH + 1)
    lowest = windows.min(axis=1)
    kernel = np.hanning(2 * _REACH + 3)[1:-1]
    gain = np.convolve(lowest, kernel / kernel.sum(), mode="valid")
    at = np.arange(blocks) * _BLOCK + _BLOCK / 2
    for start in range(0, samples, RATE):
        part = np.arange(start, min(start + RATE, samples))
        mix[:, start : start + RATE] *= np.interp(part, at, gain).astype(np.float32)


def _fade(mix: Wave, fade_out_s: float) -> None:
    rise = min(int(_FADE_IN_S * RATE), mix.shape[1])
    fall = min(int(fade_out_s * RATE), mix.shape[1])
    mix[:, :rise] *= np.linspace(0, 1, rise, dtype=np.float32) ** 2
    mix[:, mix.shape[1] - fall :] *= (0.5 + 0.5 * np.cos(np.linspace(0, np.pi, fall))).astype(np.float32)


def spread(pan: float) -> tuple[float, float]:
    """Return the gains of left and right at equal power, for -1 (left) to 1 (right)."""
    angle = (pan + 1) * np.pi / 4
    return float(np.cos(angle)), float(np.sin(angle))

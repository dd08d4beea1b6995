"""The musician: the same sentence, the same piece; words decide how it feels, and it keeps its craft's rules."""

import hashlib
import subprocess
import sys
import wave
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from numpy.typing import NDArray

from services.catalog import LOCAL
from services.models import AssetType
from worker.providers.music import MusicSpec, play, write_score
from worker.providers.music.moods import MOODS
from worker.providers.music.orchestra import BELLS, ENSEMBLES, SOLOISTS, STRINGS
from worker.providers.music.score import Note, Score
from worker.providers.music.sound import RATE, Instrument
from worker.providers.music.theory import MODES
from worker.providers.music.vocabulary import MOOD_WORDS, read

ROOT = Path(__file__).resolve().parents[2]
DANCE = "A merry dance in the tavern"
WORDS = [word for words in MOOD_WORDS.values() for word in words.split()]


def _ignore(done: float, stage: str) -> None:
    del done, stage


def _score(description: str, **wishes: Any) -> Score:
    return write_score(MusicSpec(description, **wishes)).score


def _tune(score: Score) -> list[Note]:
    return [note for note in score.notes if note.part.startswith("tune ")]


def _samples(path: Path) -> NDArray[np.float64]:
    with wave.open(str(path)) as file:
        data = np.frombuffer(file.readframes(file.getnframes()), "<i2")
    return np.asarray(data.reshape(-1, 2).T / 32_768)


@pytest.fixture(scope="module")
def heard(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, object]]:
    path = tmp_path_factory.mktemp("music") / "dance.wav"
    return path, play(MusicSpec(DANCE, "D", "dorian", 120, 6.5, 7), path, _ignore)


# The file


def test_same_spec_gives_the_same_bytes_here_and_in_another_process(
    heard: tuple[Path, dict[str, object]], tmp_path: Path
) -> None:
    program = (
        "import pathlib; from worker.providers.music import MusicSpec, play;"
        f"play(MusicSpec({DANCE!r}, 'D', 'dorian', 120, 6.5, 7), pathlib.Path('again.wav'), lambda *_: None)"
    )
    # Another hash seed shows a set or dict order that leaks into the music.
    subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "4321"},
        check=True,
    )
    first, again = (hashlib.sha256(path.read_bytes()).digest() for path in (heard[0], tmp_path / "again.wav"))
    assert first == again


def test_the_file_is_what_its_facts_promise(heard: tuple[Path, dict[str, object]]) -> None:
    path, facts = heard
    with wave.open(str(path)) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (44_100, 2, 2)
        assert file.getnframes() == 6.5 * 44_100
    expected = {
        "key": "D",
        "mode": "dorian",
        "tempo_bpm": 120,
        "mood": "tavern",
        "sample_rate": 44_100,
        "channels": 2,
        "codec": "pcm_s16le",
        "duration_seconds": 6.5,
        "seed": 7,
    }
    assert expected.items() <= facts.items()
    assert str(facts["form"]).endswith("cadence")
    assert facts["instruments"]


def test_it_is_loud_enough_and_neither_clips_nor_leans_nor_clicks(heard: tuple[Path, dict[str, object]]) -> None:
    sound = _samples(heard[0])
    level = 20 * np.log10(np.sqrt(np.mean(sound**2)))
    assert -20 < level < -16
    assert np.abs(sound).max() < 0.9
    assert np.abs(sound.mean(axis=1)).max() < 1e-3
    for end in (sound[:, :8], sound[:, -8:]):
        assert np.abs(end).max() < 1e-3
    # Left and right differ, but belong together.
    assert 0.1 < float(np.corrcoef(sound[0], sound[1])[0, 1]) < 0.98


def test_the_final_chord_fades_away() -> None:
    score = _score(DANCE, duration_s=30)
    end = score.seconds(score.last_bar)
    assert 22 < end < 27


@pytest.mark.parametrize("duration_s", [4, 11.5])
@pytest.mark.parametrize("tempo_bpm", [None, 40, 200])
def test_short_pieces_end_on_the_tonic_in_time(duration_s: float, tempo_bpm: float | None) -> None:
    score = _score("a lament", duration_s=duration_s, tempo_bpm=tempo_bpm)
    assert score.seconds(score.last_bar) < duration_s - 1
    assert score.spans[-1].chord.degree == 0
    assert tempo_bpm is None or score.tempo_bpm == tempo_bpm


@pytest.mark.parametrize("duration_s", [60, 120])
def test_long_pieces_use_their_time_and_have_no_theme_three_times_in_a_row(duration_s: float) -> None:
    score = _score("a long road", duration_s=duration_s)
    assert duration_s - 12 < score.seconds(score.last_bar) < duration_s - 2
    letters = "".join(phrase.letter for phrase in score.phrases)
    assert {"A", "B"} <= set(letters)
    assert letters[-1] == "A"
    assert "AAA" not in letters


def test_other_descriptions_and_other_seeds_give_other_tunes() -> None:
    first = _tune(_score("a hymn", seed=1))
    assert first != _tune(_score("a hymn", seed=2))
    assert first != _tune(_score("a hymn of Zhuul", seed=1))
    assert first == _tune(_score("A  hymn\n", seed=1))


# The craft


def _clashes(score: Score) -> int:
    """Count minor seconds, in any octave, of the tune with what sounds on a strong beat."""
    drums = {name for name, part in score.parts.items() if "drum" in part.instrument or "tamb" in part.instrument}
    others = [note for note in score.notes if note.part not in drums and not note.part.startswith("tune ")]
    return sum(
        abs(note.pitch - other.pitch) % 12 in {1, 11}
        for note in _tune(score)
        if score.metre.is_strong(note.start)
        for other in others
        if other.start <= note.start < other.end
    )


def _keeps_the_rules(score: Score) -> None:
    tune = _tune(score)
    clashes = _clashes(score)
    assert tune
    for note in tune:
        chord = score.chord_at(note.start)
        assert note.pitch % 12 in score.scale.classes(chord)
        if score.metre.is_strong(note.start):
            assert note.pitch in score.scale.tones(chord, note.pitch, note.pitch)
    for part in {note.part for note in tune}:
        line = [note for note in tune if note.part == part]
        assert max(note.pitch for note in line) - min(note.pitch for note in line) <= 17
        # Between phrases the tune breathes, and may begin anew elsewhere.
        begins = {phrase.start * score.metre.bar for phrase in score.phrases}
        for before, after in pairwise(line):
            if after.start not in begins:
                leap = abs(after.pitch - before.pitch)
                assert leap <= 12
                assert leap not in {6, 11}
    assert tune[-1].pitch % 12 == score.scale.pitch(0) % 12
    assert score.spans[-1].chord == score.scale.chord(0)
    assert score.spans[-2].chord != score.scale.chord(0) or score.bars < 3
    assert clashes == 0
    # Chords follow each other without gaps.
    assert all(before.start + before.length == after.start for before, after in pairwise(score.spans))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("mood", MOODS)
def test_every_mood_in_every_mode_keeps_the_rules(mood: str, mode: str) -> None:
    score = _score(MOOD_WORDS[mood].split()[0], mode=mode, key="Eb", seed=3, duration_s=20)
    assert (score.scale.key, score.scale.mode) == ("Eb", mode)
    _keeps_the_rules(score)


@settings(max_examples=20, deadline=None, derandomize=True)
@given(
    st.lists(st.sampled_from(WORDS), max_size=5),
    st.integers(0, 2**32 - 1),
    st.floats(4, 40),
    st.none() | st.floats(40, 200),
)
def test_any_words_seed_time_and_tempo_give_a_piece_that_keeps_the_rules(
    words: list[str], seed: int, duration_s: float, tempo_bpm: float | None
) -> None:
    score = _score(" ".join(words), seed=seed, duration_s=duration_s, tempo_bpm=tempo_bpm)
    _keeps_the_rules(score)
    assert score.seconds(score.last_bar) < duration_s - 1
    assert tempo_bpm is None or score.tempo_bpm == tempo_bpm


def test_a_theme_comes_back_after_the_bridge() -> None:
    score = _score(DANCE, duration_s=30, seed=4)

    def first_bar(number: int) -> list[int]:
        start = score.phrases[number].start * score.metre.bar
        return [note.pitch % 12 for note in _tune(score) if start <= note.start < start + score.metre.bar]

    visits = [number for number, phrase in enumerate(score.phrases) if phrase.letter == "A"]
    bridge = next(number for number, phrase in enumerate(score.phrases) if phrase.letter == "B")
    assert first_bar(visits[0]) == first_bar(visits[1])
    assert first_bar(bridge) != first_bar(visits[0])


@pytest.mark.parametrize(
    ("description", "mood"),
    [
        ("Drunken dwarves dancing at the inn", "tavern"),
        ("The orcs charge, war drums", "battle"),
        ("Mourning at the grave of a lost love", "lament"),
        ("A dungeon full of secrets", "mystery"),
        ("Dawn over the shepherds' meadows", "pastoral"),
        ("Pirates sailing the ocean", "sea"),
        ("Prayers in the temple", "sacred"),
        ("A lullaby, no war", "lullaby"),
        ("The queen's coronation", "royal"),
        ("Fairy magic", "enchanted"),
        ("Caravans in the desert", "desert"),
        ("qwxz", None),
    ],
)
def test_words_choose_the_mood(description: str, mood: str | None) -> None:
    assert read(description).mood == mood
    assert write_score(MusicSpec(description)).mood_name == (mood or "journey")


def test_words_choose_pace_mode_and_players() -> None:
    assert _score("a slow dance", seed=1).tempo_bpm < _score("a fast dance", seed=1).tempo_bpm
    assert _score("a tragic battle").scale.mode in {"minor", "phrygian", "dorian"}
    assert _score("a cheerful journey").scale.mode in {"major", "mixolydian", "lydian"}
    assert "tune horn" in _score("a journey, with a horn").parts


# The sound


@pytest.mark.parametrize("name", sorted({*STRINGS, *SOLOISTS, *ENSEMBLES, *BELLS}))
def test_a_note_sounds_at_its_pitch(name: str) -> None:
    players: dict[str, Instrument] = {**STRINGS, **SOLOISTS, **ENSEMBLES, **BELLS}
    hz = 311.13
    sound = players[name].play(hz, 1.5, 0.8, np.random.default_rng(5)).astype(np.float64)
    size = 1 << 18
    spectrum = np.abs(np.fft.rfft(sound * np.hanning(len(sound)), size)) ** 2
    f = np.fft.rfftfreq(size, 1 / RATE)
    # The strongest pitch is the written one or one of its harmonics: fold it down.
    peak = f[int(np.argmax(spectrum))]
    number = round(peak / hz)
    assert number >= 1
    near = np.abs(f - number * hz) < 0.03 * number * hz
    centre = float((f[near] * spectrum[near]).sum() / spectrum[near].sum())
    assert abs(1200 * np.log2(centre / number / hz)) < 5


def test_a_louder_note_is_louder_and_every_note_begins_and_ends_in_silence() -> None:
    for player in (STRINGS["lute"], SOLOISTS["flute"], ENSEMBLES["choir"], BELLS["chime"]):
        soft, loud = (player.play(440, 0.5, velocity, np.random.default_rng(1)) for velocity in (0.4, 0.9))
        assert np.sqrt(np.mean(loud**2)) > 1.5 * np.sqrt(np.mean(soft**2))
        assert abs(float(loud[0])) < 0.02
        assert abs(float(loud[-1])) < 0.01


# The edges


@pytest.mark.parametrize(
    "wishes",
    [
        {"key": "H"},
        {"key": "D\n"},
        {"mode": "locrian"},
        {"tempo_bpm": 39},
        {"tempo_bpm": 201},
        {"duration_s": 3.9},
        {"duration_s": 121},
    ],
)
def test_what_is_out_of_range_is_refused_by_spec_and_schema(wishes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"is not|is outside"):
        MusicSpec("a hymn", **wishes)
    assert not Draft202012Validator(LOCAL.prompt_schemas[AssetType.AUDIO]).is_valid(
        {"description": "a hymn", **wishes}
    )


def test_the_schema_knows_the_modes_and_takes_whole_wishes() -> None:
    assert LOCAL.prompt_schemas[AssetType.AUDIO]["properties"]["mode"]["enum"] == list(MODES)
    Draft202012Validator(LOCAL.prompt_schemas[AssetType.AUDIO]).validate(
        {"description": "x", "key": "Bb", "mode": "lydian", "tempo_bpm": 92.5, "duration_s": 12, "seed": 1}
    )
    assert set(MOODS) == set(MOOD_WORDS)


def test_progress_rises_from_0_to_1(tmp_path: Path) -> None:
    told: list[float] = []
    play(MusicSpec("a hymn", duration_s=4), tmp_path / "hymn.wav", lambda done, _: told.append(done))
    assert (told[0], told[-1]) == (0.0, 1.0)
    assert len(told) > 5
    assert all(before < after for before, after in pairwise(told))


def test_a_reporter_that_raises_stops_the_music(tmp_path: Path) -> None:
    class Cancelled(Exception):
        pass

    def refuse(done: float, stage: str) -> None:
        del stage
        if done > 0.3:
            raise Cancelled

    path = tmp_path / "never.wav"
    with pytest.raises(Cancelled):
        play(MusicSpec(DANCE, duration_s=8), path, refuse)
    assert not path.exists()

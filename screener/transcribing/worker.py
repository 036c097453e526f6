"""One recording to text, in a process of its own: it may be slow, large, or die, and nothing else suffers.

`worker.py MODEL LANGUAGE MAX_S LIMIT_S FILE` prints `{"text", "language", "probability"}`; without a FILE it
only sees that the model is there. It never fetches one: a call must not start a download.
"""

import io
import json
import os
import signal
import sys
import wave

os.environ["HF_HUB_OFFLINE"] = "1"

from faster_whisper import WhisperModel  # the variable is read on import


def _beginning(path: str, max_s: int) -> io.BytesIO:
    """The first seconds of a WAV, so that hours of it do not fill the memory."""
    cut = io.BytesIO()
    with wave.open(path) as whole, wave.open(cut, "wb") as part:
        part.setparams(whole.getparams())
        part.writeframes(whole.readframes(max_s * whole.getframerate()))
    cut.seek(0)
    return cut


def main(model: str, language: str, max_s: str, limit_s: str, path: str = "") -> None:
    """Transcribe, or end by itself after `limit_s`, also where nobody is left to end it."""
    signal.alarm(int(limit_s))
    os.nice(19)
    whisper = WhisperModel(model, device="cpu", compute_type="int8", cpu_threads=1, local_files_only=True)
    if not path:
        return
    # The text before misleads more than it helps once the sound is bad; silence is no speech.
    segments, about = whisper.transcribe(
        _beginning(path, int(max_s)),
        language=language or None,
        vad_filter=True,
        condition_on_previous_text=False,
    )
    text = " ".join(segment.text.strip() for segment in segments)
    sys.stdout.write(
        json.dumps({"text": text, "language": about.language, "probability": about.language_probability})
    )


if __name__ == "__main__":
    main(*sys.argv[1:])

from __future__ import annotations

import hashlib
import sys
from typing import TYPE_CHECKING, Any

import pytest

from rios_batch.awsbatch import scriptjob

if TYPE_CHECKING:
    from pathlib import Path


def test_a_helper_that_was_not_sent_along_is_named_with_the_option_that_sends_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fetched(_bucket: Any, _prefix: str, _sha256: str, folder: Path) -> None:
        (folder / "script.py").write_text("import my_helper.indices")

    monkeypatch.setattr(scriptjob, "fetch_script", fetched)
    monkeypatch.setattr(scriptjob, "make_client", lambda *_, **__: None)
    monkeypatch.setattr("signal.signal", lambda *_: None)
    monkeypatch.setattr("sys.argv", list[str]())
    monkeypatch.setattr("sys.path", ["", *sys.path])

    with pytest.raises(ModuleNotFoundError, match="my_helper") as caught:
        scriptjob.main(["s3://bucket/prefix/", hashlib.sha256().hexdigest(), "script.py"])

    (note,) = caught.value.__notes__
    assert "if my_helper lies beside the script" in note
    assert "rios-batch submit --with my_helper.py script.py" in note

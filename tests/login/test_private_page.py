"""The file that leads a browser on."""

import html
import re
import stat
import sys
from pathlib import Path

import pytest

from strava_async import InputError
from strava_async.login.private_page import page_directories, private_page

ODD = """https://strava.test/?a=1&state=é"'<script>alert(1)</script>;url=https://evil.test#{x}"""


def file_of(address: str) -> Path:
    return Path.from_uri(address) if hasattr(Path, "from_uri") else Path(address.removeprefix("file://"))


def test_the_file_is_its_users_alone_and_gone_afterwards(tmp_path: Path) -> None:
    with private_page("https://strava.test/", [str(tmp_path)]) as address:
        (file,) = tmp_path.iterdir()
        assert file == file_of(address)
        assert not file.name.startswith(".")
        if sys.platform != "win32":
            assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == []


def test_it_is_gone_whatever_happens(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), private_page("https://strava.test/", [str(tmp_path)]):
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []
    with private_page("https://strava.test/", [str(tmp_path)]) as address:
        file_of(address).unlink()  # somebody tidied up


def test_the_page_leads_to_the_address_and_nothing_in_it_is_markup(tmp_path: Path) -> None:
    with private_page(ODD, [str(tmp_path)]) as address:
        page = file_of(address).read_text(encoding="utf-8")
    (refresh,) = re.findall(r'<meta http-equiv="refresh" content="0; url=([^"]*)">', page)
    (link,) = re.findall(r'<a href="([^"]*)">', page)
    assert {html.unescape(refresh), html.unescape(link)} == {ODD}
    assert "<script>" not in page


def test_it_is_where_it_can_be_written(tmp_path: Path) -> None:
    missing = str(tmp_path / "missing")
    with private_page("https://strava.test/", [missing, str(tmp_path)]) as address:
        assert file_of(address).parent == tmp_path
    with (
        pytest.raises(InputError, match="no file for this user alone"),
        private_page("https://strava.test/", [missing]),
    ):
        raise AssertionError


def test_where_snaps_are_installed_it_is_in_the_home_of_the_user(tmp_path: Path) -> None:
    without, having = page_directories(str(tmp_path / "missing")), page_directories(str(tmp_path))
    assert having == [str(Path("~").expanduser()), *without]

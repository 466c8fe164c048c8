"""Host names: letters, digits and hyphens."""

import pytest

from lmtpd.hostname import is_host_name, machine_name


@pytest.mark.parametrize(
    "name",
    [
        *("localhost", "mx1.example.org", "MX.Example.ORG", "xn--bcher-kva.example", "1.2.example"),
        "a" * 63 + ".org",
        ".".join(["a" * 63] * 4),
    ],
)
def test_host_names(name: str) -> None:
    assert is_host_name(name)


@pytest.mark.parametrize(
    "name",
    [
        *(
            "",
            ".",
            "a.",
            ".a",
            "a..b",
            "-a",
            "a-",
            "a_b",
            "a b",
            "a\n",
            "a\r\nX: y",
            "bücher.example",
        ),
        *("10.0.0.1", "1", "[10.0.0.1]", "a(b)", "a;b", "a/b", "\u0661.example", "a" * 64),
        ".".join(["a" * 63] * 4 + ["b"]),
    ],
)
def test_other_names(name: str) -> None:
    assert not is_host_name(name)


@pytest.mark.parametrize(
    ("own", "name"), [("mx1", "mx1"), ("mx.example.org", "mx.example.org"), ("my_box", "localhost")]
)
def test_machine_name(own: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: own)
    assert machine_name() == name

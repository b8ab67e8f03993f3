import pytest

from sessions.places import devices

IPHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_2 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Version/17.2 Mobile/15E148 Safari/604.1"
)


@pytest.mark.parametrize(
    ("user_agent", "browser", "system", "device"),
    [
        ("okhttp/4.12.0", "okhttp 4", None, None),
        ("Dart/3.2 (dart:io)", "Dart 3.2", None, None),
        ("Alviar/7 CFNetwork/1490.0.4 Darwin/23.2.0", "Alviar 7", "iOS 17", "iOS-Device"),
        (IPHONE, "Mobile Safari 17", "iOS 17", "iPhone"),
        ("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", "Firefox 140", "Linux", None),
        ("", None, None, None),
        ("nonsense", None, None, None),
        ("Dart/", "Dart", None, None),
        ("(" * 512, None, None, None),
    ],
)
def test_a_user_agent_tells_program_system_and_device(user_agent, browser, system, device):
    assert devices.client_of(user_agent) == {"browser": browser, "os": system, "device": device}

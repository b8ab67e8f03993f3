"""Keys of push services that cannot be used stop the start, before the first message shows it."""

import pytest

from config import checks
from sessions.push import vapid


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"VAPID_PRIVATE_KEY": "short"}, "VAPID_PRIVATE_KEY"),
        ({"VAPID_PRIVATE_KEY": vapid.b64(b"\0" * 32)}, "VAPID_PRIVATE_KEY"),
        ({"FCM_CREDENTIALS": "{"}, "FCM_CREDENTIALS"),
        ({"FCM_CREDENTIALS": '{"project_id": "x"}'}, "client_email"),
        ({"APNS_KEY_ID": "ABC"}, "APNS_TEAM_ID"),
        ({"APNS_KEY": "x", "APNS_KEY_ID": "a", "APNS_TEAM_ID": "b", "APNS_TOPIC": "c"}, ".p8"),
    ],
)
def test_a_start_with_keys_that_are_none_is_refused(settings, changes, told):
    for name, value in changes.items():
        setattr(settings, name, value)
    (error,) = [message for message in checks.safe_to_start(None) if message.id.startswith("alviar.E02")]
    assert told in str(error)
    for value in changes.values():
        assert len(value) < 4 or value not in str(error)

"""Which inbound request ids are kept."""

import pytest

from common.request_id import sane_request_id


@pytest.mark.parametrize("sane", ["7", "abc-1", "req_2.3", "f" * 128])
def test_a_sane_id_is_kept_however_short(sane):
    assert sane_request_id(sane) == sane


@pytest.mark.parametrize("strange", [None, "", "a b", "x" * 129, "<script>", "abc\n", "caf\u00e9"])
def test_any_other_is_replaced(strange):
    assert sane_request_id(strange) not in {"", strange}

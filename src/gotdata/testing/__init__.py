"""Contracts that implementations are held to, and doubles of what they speak with. For people who write sources too."""

import sys

if "pytest" in sys.modules:
    import pytest

    pytest.register_assert_rewrite("gotdata.testing.source_contract")

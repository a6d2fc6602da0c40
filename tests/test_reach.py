"""What may be reached for strangers: addresses in all their spellings, folders with their links."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_network
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gotdata.reach import ANYWHERE, PUBLIC_ONLY, Reach

PUBLIC = ["93.184.216.34", "1.1.1.1", "2606:4700:4700::1111", "::ffff:1.1.1.1", "2002:101:101::", "64:ff9b::101:101"]
INSIDE = [
    "127.0.0.1",
    "127.255.255.254",
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.1.1",
    "100.64.0.1",
    "100.127.255.255",
    "169.254.1.1",
    "192.0.2.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::7f00:1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:0:127.0.0.1",
    "2002:7f00:1::",
    "2002:a00:1::1",
    "64:ff9b::7f00:1",
    "64:ff9b::10.0.0.1",
    "64:ff9b:1::1.1.1.1",
    "2001::1",
    "2001:db8::1",
    "fc00::1",
    "fd12:3456::1",
    "fe80::1",
    "fe80::1%lo",
    "fec0::1",
    "ff02::1",
    "ff0e::1",
    "100::1",
]
NAT64 = ip_network("64:ff9b::/96")
METADATA = ["169.254.169.254", "168.63.129.16", "100.100.100.200", "192.0.0.192", "fd00:ec2::254", "fd20:ce::254"]
NOT_NUMERIC = ["", "localhost", "2130706433", "0x7f.1", "0177.0.0.1", "127.1", "127.0.0.1/8", " 127.0.0.1", "1.1.1.1\n"]


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_reached(address: str) -> None:
    assert PUBLIC_ONLY.address(address)


@pytest.mark.parametrize("address", [*INSIDE, *METADATA, *NOT_NUMERIC])
def test_what_lies_inside_is_not_reached_nor_what_is_no_address(address: str) -> None:
    assert not PUBLIC_ONLY.address(address)
    assert ANYWHERE.address(address)


@given(st.ip_addresses(v=4))
def test_an_address_is_judged_alike_in_every_form_that_holds_it(address: IPv4Address) -> None:
    plain = PUBLIC_ONLY.address(str(address))
    for prefix in ("::ffff:0:0", "64:ff9b::"):
        assert PUBLIC_ONLY.address(str(IPv6Address(int(IPv6Address(prefix)) | int(address)))) == plain
    assert PUBLIC_ONLY.address(str(IPv6Address(0x2002 << 112 | int(address) << 80))) == plain


@given(st.ip_addresses(v=6))
def test_of_ipv6_global_unicast_is_public_at_most(address: IPv6Address) -> None:
    held = address.ipv4_mapped or address in NAT64
    if PUBLIC_ONLY.address(str(address)):
        assert held or int(address) >> 125 == 0b001


def test_networks_of_the_operator_are_reached_and_no_other() -> None:
    reach = Reach(networks=("10.1.0.0/16", "fd12::/16", "127.0.0.1/32"))
    for inside in ("10.1.2.3", "::ffff:10.1.2.3", "fd12::1", "127.0.0.1", "1.1.1.1"):
        assert reach.address(inside)
    for outside in ("10.2.0.1", "fd13::1", "127.0.0.2", "::ffff:10.2.0.1", "fe80::1"):
        assert not reach.address(outside)


@pytest.mark.parametrize("address", [*METADATA, "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "fd00:ec2::254%eth0"])
def test_where_a_cloud_hands_out_keys_is_reached_by_no_network(address: str) -> None:
    assert not Reach(networks=("0.0.0.0/0", "::/0")).address(address)


def test_folders_are_what_they_are_in_truth(tmp_path: Path) -> None:
    for name in ("archive", "archive2", "home"):
        (tmp_path / name).mkdir()
    (tmp_path / "archive" / "in").mkdir()
    (tmp_path / "archive" / "out").symlink_to(tmp_path / "home")
    (tmp_path / "alias").symlink_to(tmp_path / "archive")
    reach = Reach(local=(str(tmp_path / "alias"),))
    for inside in ("archive", "alias", "archive/in", "alias/in/", "archive/in/../in", "archive/not/there"):
        assert reach.path(tmp_path / inside)
    for outside in (
        "archive2",
        "archive/out",
        "archive/out/x",
        "alias/..",
        "archive/in/../../home",
        "",
        "home",
        "archive/\0",
    ):
        assert not reach.path(tmp_path / outside)
    assert not Reach(local=("/",)).path("etc")
    assert ANYWHERE.path(tmp_path)
    assert not PUBLIC_ONLY.path(tmp_path)
    assert Reach(local=("/",)).path(tmp_path)


def test_it_goes_to_other_processes_as_plain_json() -> None:
    reach = Reach(("10.0.0.0/8",), ("/srv",))
    assert msgspec.convert(msgspec.json.decode(msgspec.json.encode(reach)), Reach) == reach

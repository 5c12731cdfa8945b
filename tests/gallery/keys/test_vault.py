"""Each person's keys open what is theirs, and only under the vault that wrapped them."""

import pytest

from gallery.keys.encryption import MasterKey, SealBroken
from gallery.keys.vault import PLAIN, PersonKeys, Vault


def test_keys_of_a_person_are_random_two_and_theirs_alone():
    vault = Vault(MasterKey.new())
    ada, bob = vault.new_keys("p1"), vault.new_keys("p2")
    assert len({*ada, *bob}) == 4
    sealed = vault.profile_cipher("p1", ada.profile).seal(b"Ada", "here")
    assert vault.profile_cipher("p1", ada.profile).open(sealed, "here") == b"Ada"
    for wrong in (
        lambda: vault.profile_cipher("p2", ada.profile),
        lambda: vault.profile_cipher("p1", ada.template),
        lambda: vault.template_cipher("p1", ada.profile),
        lambda: vault.profile_cipher("p1", None),
        lambda: Vault(MasterKey.new()).profile_cipher("p1", ada.profile),
        lambda: Vault(None).profile_cipher("p1", ada.profile),
        lambda: vault.profile_cipher("p2", bob.profile).open(sealed, "here"),
        lambda: vault.template_cipher("p1", ada.template).open(sealed, "here"),
    ):
        with pytest.raises(SealBroken):
            wrong()


def test_a_plain_vault_has_no_keys():
    vault = Vault(None)
    assert (vault.key_id, vault.new_keys("p1")) == (None, PersonKeys(None, None))
    assert vault.profile_cipher("p1", None) is vault.template_cipher("p1", None) is PLAIN


def test_wrapped_anew_the_former_vault_opens_them_no_more():
    old, new = Vault(MasterKey.new()), Vault(MasterKey.new())
    keys = old.new_keys("p1")
    sealed = old.template_cipher("p1", keys.template).seal(b"face", "here")
    again = new.rewrapped("p1", keys, old)
    assert new.template_cipher("p1", again.template).open(sealed, "here") == b"face"
    with pytest.raises(SealBroken):
        old.template_cipher("p1", again.template)
    with pytest.raises(SealBroken):
        new.rewrapped("p2", keys, old)


@pytest.mark.parametrize("master", [None, MasterKey.new()])
def test_tags_find_names_that_differ_by_capitals_and_blanks_alone(master):
    vault = Vault(master)
    assert vault.name_tag("Ada Lovelace") == vault.name_tag(" ada LOVE lace") != vault.name_tag("Ada Byron")
    assert vault.external_tag(None) is None
    assert vault.external_tag("E-1") != vault.external_tag("e-1")
    assert vault.external_tag("adalovelace") != vault.name_tag("adalovelace") or master is None
    assert (b"lovelace" in vault.name_tag("Ada Lovelace")) == (master is None)

from cases_judged import a_case
from hypothesis import given, settings
from hypothesis import strategies as st

from models.frames import stored_frame
from models.masking import Pseudonyms, mask

COMMON = frozenset(("the", "client", "told", "i", "have", "please", "cancel", "she", "with", "on"))
KEYED = Pseudonyms(b"key")


def masked(text: str, *names: str) -> str:
    return mask(text, KEYED, names=names, common=COMMON)


def test_names_addresses_numbers_and_links_do_not_survive():
    text = (
        "Please cancel HT-204518 with Imogen Ashdown-Pike on Thursday. The client, "
        "jo.p@mail.example, rang 07700 900123 from LS1 4AP, see https://x.example/a?b. "
        "I told Grace and Grace's mother."
    )

    found = masked(text, "Grace Hollis")

    for secret in ("Imogen", "Ashdown", "Pike", "jo.p", "07700", "LS1", "x.example", "Grace"):
        assert secret not in found
    assert "204518" not in found
    assert found.startswith("Please cancel HT-")
    assert "on Thursday" in found


def test_a_name_that_is_an_everyday_word_is_masked_where_it_is_known_to_be_one():
    assert (
        masked("I told Will and will was told", "Will Hart") == "I told [name] and [name] was told"
    )


def test_abbreviations_of_therapies_and_the_writers_own_i_stay():
    assert masked("She wants CBT or EMDR and I'm not trained") == (
        "She wants CBT or EMDR and I'm not trained"
    )


@settings(max_examples=200, deadline=None)
@given(
    name=st.text(st.characters(whitelist_categories=("Lu", "Ll")), min_size=3, max_size=12),
    before=st.sampled_from(["I told ", "with ", "", "so\n", "(", "re "]),
)
def test_a_known_name_never_survives_wherever_it_stands(name, before):
    found = masked(f"{before}{name.title()}, please", name)

    assert name.lower() not in found.lower().replace("[name]", "").split(",")[0].split()


def test_the_same_person_has_the_same_pseudonym_under_one_key_and_another_under_another():
    ours, theirs = Pseudonyms(b"ours"), Pseudonyms(b"theirs")

    assert ours.of("jo@x.example", "sender") == ours.of("JO@x.example", "sender")
    assert ours.of("jo@x.example", "sender") != ours.of("jo@x.example", "colleague")
    assert ours.of("jo@x.example", "sender") != theirs.of("jo@x.example", "sender")
    assert ours.session("HT-204518") != theirs.session("HT-204518") != "HT-204518"


def test_a_frame_of_stored_cases_holds_codes_and_pseudonyms_only():
    cases = [a_case(1), a_case(2, "correct", fit_reasons=["format"], sender="jo1@practice.example")]

    frame = stored_frame(cases, b"key")

    first, second = frame.to_dict("records")
    assert first["sender"] == second["sender"]
    assert first["read.kind"] == "cancellation"
    assert second["verdict"] == "correct"
    assert second["corrected"] == "fit_reasons"
    assert second["corrected.fit_reasons"] == "format"
    everything = frame.to_csv()
    for secret in ("jo1", "practice.example", "Penhallow", "HT-204518", "told her", "ann,"):
        assert secret not in everything


def test_free_text_comes_only_when_asked_for_and_masked():
    frame = stored_frame([a_case(1)], b"key", text=True, common=COMMON)

    assert "text" not in stored_frame([a_case(1)]).columns
    assert frame["text"].iloc[0].startswith("I told her.")
    assert "204518" not in frame["subject"].iloc[0]


def test_without_a_key_two_frames_cannot_be_matched():
    assert stored_frame([a_case(1)])["sender"][0] != stored_frame([a_case(1)])["sender"][0]

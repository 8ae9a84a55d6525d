"""What the client is called."""

import pytest
from reading_mail import values


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Please cancel my new client Imogen on Thursday.", "Imogen"),
        ("I have been seeing Devinder K since August.", "Devinder K"),
        ("Mrs Balogun-Reyes is happy to move.", "Mrs Balogun-Reyes"),
        ("I see Mr and Mrs V. as a couple.", "Mr and Mrs V."),
        ("It's about J.P., who wants CBT.", "J.P."),
        ("I have told O'Dowd that I can't go on.", "O'Dowd"),
        ("Please cancel my 9am, she needs CBT.", "my 9am"),
        ("Mr Zieliński came on Monday.", "Mr Zieliński"),
        ("please cancel mrs osei-tutu on thursday, she knows", "mrs osei-tutu"),
        ("PLEASE CANCEL MRS DELACROIX ON THURSDAY", "MRS DELACROIX"),
        ("hiya, mr vance's 5pm is off, he knows", "mr vance"),
        ("cant do arnie on weds sorry, hes a no from me", "arnie"),
        ("kat r tues 5pm is off, ive told her", "kat r"),
        ("pls cancel rubys 5pm she knows", "ruby"),
        ("CANCEL ARNIE ON THURSDAY, HE KNOWS", "ARNIE"),
        ("Ive told Elizabeths mother and shes fine, Elizabeths 9am can go.", "Elizabeth"),
        ("I have told Peters Doyle that I can't go on.", "Peters Doyle"),
        ("I have told Mr Sutton that I can't go on.", "Mr Sutton"),
        ("I have told Hazel Parkinson that I can't go on.", "Hazel Parkinson"),
        ("Hello, Leonie has booked twice, please cancel both.", "Leonie"),
        ("Morning! Owen L has booked two, please cancel both.", "Owen L"),
        ("Please find somebody else. Oscar, HT-347790, knows.", "Oscar"),
    ],
)
def test_a_client_is_known_by_the_name_written(text, name):
    assert values(text, "client_ref") == [name]


def test_clients_that_head_their_lines_and_stand_in_the_subject_are_told_apart():
    text = "Farid\nPlease cancel, he wants sessions in Farsi.\n\nLucy\nShe stops with me on Friday."

    assert values(text, "client_ref", subject="Farid and Lucy") == ["Farid", "Lucy"]


def test_a_first_name_alone_in_the_subject_is_the_client():
    assert values("He knows.", "client_ref", subject="Ending w/ Barnaby") == ["Barnaby"]


@pytest.mark.parametrize(
    "text",
    [
        "Hi Priya,\nplease cancel the session on Thursday.\nThanks\nRobin",
        "My supervisor Janet says I should ask you.",
        "Morning, Priya, can you cancel the session on Thursday?",
        "Hello, Priya\nplease cancel the session on Thursday.",
        "I work in Harrogate and use CBT and EMDR.",
        "Please cancel it before my 3pm.",
        "She lives with ms and pain, and mr right is nowhere to be seen.",
        "my supervisor mrs hale says i should ask you",
        "I shall be back in the New Year.",
        "Eighty-four, and lost his wife in May. Dont ring him. Ive told him. Im on leave.",
        "hi priya can you cancel thurs hes not for me, i will hope to mark it\nta\nrobin",
        "i dont do faith work and this will be joy to someone, its her son sam who rang",
        "Bonjour, I see people in a room for Luton and for Kettering, and it is about Parkinson's.",
    ],
)
def test_other_names_are_no_client(text):
    assert values(text, "client_ref") == []

"""The phrases that captions are made of.

A bar follows each verb in its plain form, so that a phrase can be said as ``grooms its face`` and ``grooming its
face``; ``{o}`` is the other animal. ``kept`` holds phrases of known words that training never sees, ``synonyms``
phrases with at least one word that training never sees.
"""

from __future__ import annotations

import re
from typing import NamedTuple


class Said(NamedTuple):
    """Ways to say one behaviour: in training, kept back, with unknown words, and as a heading."""

    said: tuple[str, ...]
    kept: tuple[str, ...]
    synonyms: tuple[str, ...]
    nouns: tuple[str, ...]


TEMPLATES: tuple[str, ...] = (
    "{subject} {finite}",
    "{subject} {gerund}",
    "{subject} is {gerund}",
    "a video of {subject} {gerund}",
    "{bare} {gerund}",
    "{noun}, {subject}",
    "{noun} in {several}",
    "this {bare} {finite}",
    "we see {subject} {gerund}",
    "{several}: {noun}",
    "behavior: {noun}, {bare}",
    "the {bare} {finite}",
)
HELD_TEMPLATES: tuple[str, ...] = (
    "in this video {subject} {finite}",
    "a video: the {bare} is {gerund}",
    "we see this {bare}, {noun}",
    "the behavior of this {bare} is {noun}",
    "see {subject} {gerund} in this video",
)
PLACE_WORDS = {
    "mouse": {
        "open_field": "open field",
        "round_arena": "round arena",
        "home_cage": "home cage",
        "glass_box": "glass box",
        "corridor": "corridor",
        "platform": "round platform",
    },
    "fly": {
        "well": "well of a plate",
        "petri_dish": "petri dish",
        "chamber": "square chamber",
        "bowl": "shallow bowl",
        "tube": "narrow tube",
    },
}
OBJECTS = {
    "nest": "beside a nest",
    "cable": "with a cable on its head",
    "shelter": "next to a shelter",
    "bars": "behind bars",
    "food": "next to a piece of food",
}


def _read(text: str) -> Said:
    """The rows of one behaviour: ``said`` first, then those that begin with ``kept:``, ``synonyms:``, ``nouns:``."""
    rows = re.split(r"(?:kept|synonyms|nouns):", " ".join(text.split()))
    return Said(*(tuple(phrase.strip() for phrase in row.split(";")) for row in rows))


_MOUSE = {
    "still": """
        sit| still; make| no movement; rest| in one place; stay| where it is; stand| still; be| at rest; keep| still;
        pause| in place
        kept: rest| still; stay| in place and make| no movement
        synonyms: be| motionless; freeze| completely; remain| immobile
        nouns: resting; immobility at rest; no movement
        """,
    "walk": """
        walk| forward; walk| across the floor; move| forward slowly; go| for a walk; walk| about; move| at a slow
        pace; step| forward; walk| through the arena
        kept: step| across the floor slowly; go| forward at a slow pace
        synonyms: stroll| along; amble| forward; wander| around
        nouns: walking; slow locomotion
        """,
    "run": """
        run| forward; run| fast; run| across the floor; move| fast; dash| across the arena; go| at a fast pace;
        race| forward; run| at full speed
        kept: move| at full speed; dash| forward fast
        synonyms: sprint| along; gallop| forward; scurry| quickly
        nouns: running; fast locomotion
        """,
    "turn": """
        turn| on the spot; turn| around; change| direction on the spot; turn| in place; spin| on the spot; turn| its
        body to another side; make| a turn; turn| fast
        kept: spin| around in place; make| a fast turn on the spot
        synonyms: rotate| where it stands; pivot| around; reorient|
        nouns: turning; turn on the spot
        """,
    "sniffing": """
        sniff| about; sniff| the floor; scan| with its head; move| its head from side to side; smell| the floor;
        explore| with its nose; sniff| the air in place; look| from side to side
        kept: scan| the floor with its nose; smell| the air and move| its head
        synonyms: investigate| odors; swing| its snout left and right; inspect| its surroundings
        nouns: sniffing; head scanning; exploration with the nose
        """,
    "face_grooming": """
        groom| its face; wash| its face; clean| its face with its paws; rub| its face with both paws; wash| its head
        with its paws; stroke| its nose with its paws; sit| up and wash| its face; clean| its nose and head
        kept: rub| its nose with its paws; sit| and groom| its head with both paws
        synonyms: wipe| its muzzle; scrub| its cheeks; tidy| its whiskers
        nouns: face grooming; face washing; head grooming
        """,
    "body_grooming": """
        groom| its body; lick| its side; clean| its fur; groom| its flank; lick| its fur; turn| its head back and
        lick| its flank; clean| its side with its mouth; groom| its fur
        kept: lick| its body; clean| its flank with its mouth
        synonyms: preen| its coat; nibble| at its hip; tidy| its pelt
        nouns: body grooming; flank grooming; fur licking
        """,
    "scratching": """
        scratch| itself with a hind leg; scratch| its neck; scratch| its ear with a hind foot; scratch|; scratch|
        its head fast; kick| its neck with a hind foot; scratch| an itch; scratch| its side with a leg
        kept: scratch| its neck with a hind leg; kick| its ear with a leg
        synonyms: rake| its nape with its claws; paw| rapidly behind its jaw
        nouns: scratching; scratching with a hind leg
        """,
    "rear_supported": """
        rear| against the wall; stand| up at the wall; lean| on the wall with its paws; rear| at the wall; put| its
        paws on the wall; stand| on its hind legs against the wall; reach| up the wall; climb| up at the wall
        kept: lean| against the wall on its hind legs; reach| up and put| its paws on the wall
        synonyms: prop| itself upright along the side; stretch| upward along the boundary
        nouns: supported rearing; rearing against the wall; wall rearing
        """,
    "rear_unsupported": """
        rear| up freely; stand| up on its hind legs; stand| up without the wall; rear| away from the wall; rise| on
        its hind legs; stand| up and look| about; rear| in the open; lift| its body and forelegs up
        kept: rise| and stand| away from the wall; lift| its forelegs and look| about
        synonyms: balance| upright; stand| erect like a meerkat
        nouns: unsupported rearing; free rearing; rearing in the open
        """,
    "digging": """
        dig| in the floor; dig| with its forepaws; dig| a hole; dig| with both paws; throw| the ground behind it;
        dig| fast; dig| and kick| the ground back; dig| into the ground
        kept: dig| a hole with both paws; throw| the ground back with its forepaws
        synonyms: burrow| into the substrate; shovel| litter backward; excavate| a pit
        nouns: digging; digging with the paws
        """,
    "stretch_attend": """
        stretch| its body forward; stretch| forward with its hind feet in place; make| itself long and low; stretch|
        out to look| ahead; reach| its nose forward and draw| back; stretch| low to the floor; lean| forward with a
        long body; stretch| carefully
        kept: reach| forward with a long low body; stretch| its nose ahead and draw| back
        synonyms: elongate| cautiously; extend| its torso to assess| risk
        nouns: stretch attend; stretched attend posture; risk assessment
        """,
    "jump": """
        jump| up; jump|; leap| into the air; hop| up; jump| off the floor; leap| forward; jump| high; hop| forward
        into the air
        kept: leap| high off the floor; hop| into the air
        synonyms: spring| upward; bounce| up; vault| ahead
        nouns: jumping; a jump; a leap
        """,
    "approach": """
        approach| {o}; walk| up to {o}; come| near {o}; go| to {o}; walk| toward {o}; move| toward {o}; come| up to
        {o}; go| near {o}
        kept: move| up to {o}; come| toward {o}
        synonyms: near| {o} gradually; head| for {o}; advance| on {o}
        nouns: approach; social approach
        """,
    "chase": """
        chase| {o}; run| after {o}; follow| {o} fast; run| behind {o}; chase| {o} across the floor; follow| {o} at a
        run; hunt| after {o}; keep| behind {o}
        kept: follow| behind {o} fast; run| fast after {o}
        synonyms: pursue| {o}; trail| {o} closely; hound| {o}
        nouns: chasing; chase; following
        """,
    "nose_to_nose": """
        sniff| the nose of {o}; touch| noses with {o}; meet| {o} nose to nose; sniff| the face of {o}; greet| {o}
        with its nose; hold| its nose to the nose of {o}; smell| the face of {o}; touch| the nose of {o}
        kept: greet| {o} nose to nose; smell| the nose of {o}
        synonyms: nuzzle| the snout of {o}; rub| muzzles with {o}
        nouns: nose to nose contact; nose contact; face sniffing
        """,
    "anogenital_sniffing": """
        sniff| the rear of {o}; sniff| {o} under the tail; sniff| at the tail of {o}; smell| the rear of {o};
        follow| {o} and sniff| under the tail; sniff| behind {o}; put| its nose under the tail of {o}; sniff| {o}
        from behind
        kept: smell| {o} under the tail; put| its nose to the rear of {o}
        synonyms: investigate| the rump of {o}; inspect| the bottom of {o}
        nouns: anogenital sniffing; rear sniffing; sniffing under the tail
        """,
    "allogrooming": """
        groom| {o}; lick| the neck of {o}; clean| the fur of {o}; groom| the neck of {o}; lick| {o}; lick| the fur
        of {o}; clean| the head of {o}; groom| the back of {o}
        kept: clean| the neck of {o}; lick| the head of {o}
        synonyms: preen| {o}; nibble| at the nape of {o}
        nouns: allogrooming; social grooming; grooming of the other animal
        """,
    "mount": """
        mount| {o}; climb| on {o} from behind; mount| {o} from behind; mate| with {o}; sit| on the back of {o};
        hold| {o} from behind; climb| on the back of {o}; mount| and thrust| on {o}
        kept: climb| on {o} and mate|; hold| the back of {o} and thrust|
        synonyms: pair| up with {o}; straddle| {o}
        nouns: mounting; a mount; mating
        """,
    "attack": """
        attack| {o}; fight| with {o}; bite| {o}; wrestle| with {o}; fight| {o} and roll| over; attack| and bite|
        {o}; roll| about in a fight with {o}; wrestle| {o} to the floor
        kept: bite| and wrestle| with {o}; roll| over and fight| {o}
        synonyms: brawl| with {o}; scuffle| with {o}; assault| {o}
        nouns: attack; fighting; a fight
        """,
}
_FLY = {
    "still": """
        stand| still; make| no movement; rest| in one place; stay| where it is; sit| still; be| at rest; keep| still;
        pause| in place
        kept: rest| still; stay| in place and make| no movement
        synonyms: be| motionless; freeze| completely; remain| immobile
        nouns: resting; standing still; no movement
        """,
    "walk": """
        walk| forward; walk| across the floor; move| forward slowly; go| for a walk; walk| about; move| at a slow
        pace; step| forward; walk| through the arena
        kept: step| across the floor slowly; go| forward at a slow pace
        synonyms: stroll| along; amble| forward; wander| around
        nouns: walking; slow locomotion
        """,
    "run": """
        run| forward; run| fast; run| across the floor; move| fast; dash| across the arena; go| at a fast pace;
        race| forward; run| at full speed
        kept: move| at full speed; dash| forward fast
        synonyms: sprint| along; gallop| forward; scurry| quickly
        nouns: running; fast locomotion
        """,
    "turn": """
        turn| on the spot; turn| around; change| direction on the spot; turn| in place; spin| on the spot; turn| its
        body to another side; make| a turn; turn| fast
        kept: spin| around in place; make| a fast turn on the spot
        synonyms: rotate| where it stands; pivot| around; reorient|
        nouns: turning; turn on the spot
        """,
    "front_leg_grooming": """
        rub| its forelegs together; clean| its front legs; groom| its front legs; rub| its front legs; clean| its
        forelegs in front of its head; groom| its forelegs; wash| its forelegs; rub| its front feet together
        kept: rub| its front legs together; clean| its front feet
        synonyms: scrub| its forelimbs; wring| its hands
        nouns: foreleg grooming; front leg grooming; leg rubbing
        """,
    "head_grooming": """
        groom| its head; clean| its head with its forelegs; clean| its eyes; wash| its eyes and head; stroke| its
        head with both forelegs; groom| its eyes with its front legs; rub| its head with its front legs; clean| its
        face
        kept: wash| its head with its front legs; stroke| its eyes with its forelegs
        synonyms: wipe| its antennae; scrub| dust off its skull
        nouns: head grooming; eye cleaning; face grooming
        """,
    "abdomen_grooming": """
        groom| its abdomen; clean| its abdomen with its hind legs; rub| its abdomen with its back legs; clean| its
        rear; groom| its rear with its hind legs; stroke| its abdomen; rub| its hind legs against its body; clean|
        its hind body
        kept: stroke| its rear with its hind legs; rub| its body with its back legs
        synonyms: wipe| its belly; scrub| its posterior
        nouns: abdomen grooming; hind leg grooming; rear grooming
        """,
    "wing_grooming": """
        groom| a wing; clean| one wing with a hind leg; stroke| its wing with its hind legs; clean| its wing; rub|
        one wing with a back leg; groom| its wing with a hind leg; sweep| a leg over its wing; brush| its wing with
        a leg
        kept: rub| its wing with its hind legs; brush| one wing with its hind legs
        synonyms: wipe| a wing blade; polish| its pinion
        nouns: wing grooming; wing cleaning
        """,
    "wing_flick": """
        flick| its wings; open| and close| both wings; open| both wings for a moment; flick| both wings;
        beat| its wings in place; shake| its wings; open| its wings again and again; move| both wings in and out
        kept: shake| both wings in place; open| and close| its wings again
        synonyms: flutter| briefly; scissor| its wings
        nouns: wing flicking; flicking of both wings
        """,
    "jump": """
        jump| into the air; take| off; fly| off; leap| and fly| off; jump| off the floor; fly| up; leap| from the
        floor; take| off and fly|
        kept: leap| up and take| off; jump| and fly| off the floor
        synonyms: launch| itself; soar| away; lift| skyward
        nouns: jumping; a jump; take off; flight
        """,
    "righting": """
        lie| on its back and kick|; kick| with its legs in the air; lie| on its back; try| to turn over; lie| upside
        down; roll| on its back; move| its legs upside down; kick| and try| to roll over
        kept: lie| upside down and kick|; try| to roll over on its back
        synonyms: struggle| supine; flail| to right itself
        nouns: lying on the back; righting; being upside down
        """,
    "approach": """
        approach| {o}; walk| up to {o}; come| near {o}; go| to {o}; walk| toward {o}; move| toward {o}; come| up to
        {o}; go| near {o}
        kept: move| up to {o}; come| toward {o}
        synonyms: near| {o} gradually; head| for {o}; advance| on {o}
        nouns: approach; social approach
        """,
    "chase": """
        chase| {o}; run| after {o}; follow| {o} fast; run| behind {o}; chase| {o} across the floor; follow| {o} at a
        run; hunt| after {o}; keep| behind {o}
        kept: follow| behind {o} fast; run| fast after {o}
        synonyms: pursue| {o}; trail| {o} closely; hound| {o}
        nouns: chasing; chase; following
        """,
    "tapping": """
        tap| {o}; tap| {o} with its forelegs; touch| {o} with its front legs; tap| the abdomen of {o}; touch| the
        abdomen of {o}; reach| out and tap| {o}; tap| {o} from behind; touch| {o} with a leg
        kept: reach| out and touch| {o}; tap| {o} with its front legs
        synonyms: drum| on {o}; palpate| {o}
        nouns: tapping; tapping with the forelegs
        """,
    "wing_extension": """
        extend| one wing; sing| to {o}; hold| one wing out; court| {o} with one wing out; extend| a wing to {o};
        sing| a courtship song; vibrate| one wing; stretch| one wing to the side
        kept: vibrate| one wing and sing|; court| {o} and extend| a wing
        synonyms: serenade| {o}; unfold| a single wing; woo| {o}
        nouns: wing extension; courtship song; singing
        """,
    "wing_threat": """
        threaten| {o}; raise| both wings; lift| its wings at {o}; hold| both wings up; threaten| {o} with its wings;
        show| its wings to {o}; raise| its wings against {o}; spread| both wings up
        kept: spread| its wings and threaten| {o}; lift| both wings against {o}
        synonyms: menace| {o}; brandish| its wings; intimidate| {o}
        nouns: wing threat; threat with both wings; wing raising
        """,
    "circling": """
        circle| {o}; walk| around {o}; go| in a circle around {o}; move| sideways around {o}; circle| around {o};
        walk| sideways about {o}; go| around {o}; run| in a circle around {o}
        kept: move| in a circle around {o}; go| sideways around {o}
        synonyms: orbit| {o}; revolve| round {o}
        nouns: circling; walking in a circle
        """,
    "lunge": """
        lunge| at {o}; strike| {o} with its body; rise| and strike| down on {o}; lunge| forward at {o}; throw|
        itself at {o}; hit| {o} with its forelegs; strike| {o} from the front; attack| {o} with a lunge
        kept: rise| and throw| itself at {o}; hit| {o} from the front
        synonyms: pounce| on {o}; slam| onto {o}; thump| {o}
        nouns: lunge; lunging
        """,
    "tussle": """
        fight| with {o}; tussle| with {o}; wrestle| with {o}; tumble| in a fight with {o}; box| with {o}; hold| {o}
        and fight|; roll| about with {o}; tussle| and box| with {o}
        kept: wrestle| and box| with {o}; tumble| about with {o}
        synonyms: brawl| with {o}; scuffle| with {o}; grapple| with {o}
        nouns: tussle; fighting; a fight
        """,
    "copulation": """
        copulate| with {o}; mate| with {o}; mount| {o}; sit| on the back of {o} and mate|; mount| {o} from behind;
        hold| on to the back of {o}; ride| on {o}; mate| on the back of {o}
        kept: mount| and mate| with {o}; ride| on the back of {o}
        synonyms: couple| with {o}; breed| with {o}
        nouns: copulation; mating; a mating pair
        """,
}
PHRASES: dict[str, dict[str, Said]] = {
    species: {behavior: _read(text) for behavior, text in texts.items()}
    for species, texts in (("mouse", _MOUSE), ("fly", _FLY))
}

"""Word lists: which words say little, which are numbers, which are forms of others."""

from __future__ import annotations

from typing import Final


def split_words(text: str) -> list[str]:
    """Split a list of words that is written as a text, as the tables of this package are."""
    return text.split()


NUMBER_WORDS: Final = dict(
    zip(
        split_words(
            "zero two three four five six seven eight nine ten eleven twelve thirteen fourteen"
            " fifteen sixteen seventeen eighteen nineteen twenty thirty forty fifty sixty seventy"
            " eighty ninety"
        ),
        [0, *range(2, 20), *range(20, 100, 10)],
        strict=True,
    )
)
"""Words that are numbers wherever they stand; "one" is a pronoun too often."""
ORDINAL_WORDS: Final = dict(
    zip(
        split_words(
            "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth"
        ),
        range(1, 13),
        strict=True,
    )
)
STOP_WORDS: Final = frozenset(
    split_words(
        "a an the and or but nor so yet if then than that this these those there here it its they them"
        " their theirs he him his she her hers we us our ours you your yours i me my mine who whom"
        " whose which what when where why how be is are was were been being am do does did done doing"
        " have has had having will would shall should can could may might must of in on at by for with"
        " from to into onto over under about as per via up down out off between among through during"
        " before after until since while because also just only very too more most such some any each"
        " both all other another same own again once ever not no never none neither cannot one s t"
        " ve re ll d m yes yeah yea yep yup oh ok okay well actually really indeed sure please"
        " thanks hi hello"
    )
)
NEGATIONS: Final = frozenset(
    split_words("not no never none neither nor cannot without nobody nothing nowhere hardly")
)
_IRREGULAR: Final = (
    "arise arose arisen; become became; begin began begun; bite bit bitten; blow blew "
    "blown; break broke broken; bring brought; build built; buy bought; catch caught; "
    "choose chose chosen; come came; deal dealt; draw drew drawn; drink drank drunk; drive "
    "drove driven; eat ate eaten; fall fell fallen; feed fed; fight fought; find found; "
    "flee fled; fly flew flown; forget forgot forgotten; freeze froze frozen; get got "
    "gotten; give gave given; go went gone; grow grew grown; hear heard; hide hid hidden; "
    "hold held; keep kept; know knew known; lead led; leave left; lend lent; lose lost; "
    "make made; mean meant; meet met; pay paid; ride rode ridden; rise rose risen; run ran; "
    "say said; see saw seen; seek sought; sell sold; send sent; shake shook shaken; shoot "
    "shot; show shown; sing sang sung; sink sank sunk; sit sat; sleep slept; speak spoke "
    "spoken; spend spent; stand stood; steal stole stolen; strike struck; swear swore "
    "sworn; swim swam swum; take took taken; teach taught; tear tore torn; tell told; think "
    "thought; throw threw thrown; understand understood; wear wore worn; win won; withdraw "
    "withdrew withdrawn; write wrote written; man men; woman women; child children; foot "
    "feet; mouse mice; crisis crises; basis bases; analysis analyses; good better best; bad "
    "worse worst"
)
IRREGULAR: Final = {
    form: base for base, *forms in map(split_words, _IRREGULAR.split("; ")) for form in forms
}
"""Past tenses, plurals and comparatives that no rule gives, and the word that they are of."""
_OPPOSITES: Final = (
    "grow rise increase climb surge/fall decrease decline drop shrink plunge; higher/lower; win/lose; "
    "gain/lose; profit/loss; approve accept/reject refuse; allow permit/forbid ban prohibit; "
    "buy purchase acquire/sell; open/close; begin start/end stop finish; enable/disable; include/exclude; "
    "succeed success/fail failure; pass/fail; true/false; legal/illegal; possible/impossible; "
    "likely/unlikely; able/unable; early/late; earlier/later; first/last; north/south; east/west; "
    "northern/southern; eastern/western; maximum/minimum; strong/weak; support/oppose; join/leave; "
    "arrive/depart; safe/dangerous unsafe; guilty/innocent; male/female; import/export; "
    "majority/minority; public/private; good/bad; hot/cold; high/low; large big/small; long/short; "
    "old/new; rich/poor; easy/difficult; positive/negative; inside/outside; victory/defeat; "
    "love/hate; remember/forget; strengthen/weaken; expand/contract; hire/dismiss; borrow/lend; "
    "popular/unpopular; active/inactive; complete/incomplete; agree/disagree; like/dislike"
)
OPPOSITES: Final = tuple(
    (tuple(split_words(one)), tuple(split_words(other)))
    for one, _, other in (pair.partition("/") for pair in _OPPOSITES.split("; "))
)
"""Words of which one denies what the other says; those of one side say about the same."""

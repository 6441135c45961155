"""Texts: names of people who don't exist, titles, comments, descriptions."""

from __future__ import annotations

import random

FIRST_NAMES = [
    "Ana",
    "Björn",
    "Chidi",
    "Dagny",
    "Emeka",
    "Farid",
    "Greta",
    "Hélène",
    "Ivo",
    "Jun",
    "Keira",
    "Lars",
    "Mireille",
    "Nadia",
    "Oskar",
    "Paloma",
    "Quentin",
    "Rosa",
    "Sigrid",
    "Tomás",
    "Ulrike",
    "Vikram",
    "Wanda",
    "Ximena",
    "Yusuf",
    "Zoë",
    "Aoife",
    "Bao",
    "Callum",
    "Dorota",
    "Elif",
    "Freya",
    "Gael",
    "Hana",
    "Ines",
    "Joaquín",
    "Kofi",
    "Leila",
    "Marek",
    "Noor",
]
LAST_NAMES = [
    "Abramsen",
    "Bellweather",
    "Castellanos",
    "Drummond",
    "Eriksdotter",
    "Fairweather",
    "Grünbaum",
    "Halloran",
    "Ibarrola",
    "Jankowiak",
    "Kettleworth",
    "Lindqvist",
    "Moreau",
    "Nakagawa",
    "Oyelaran",
    "Petrakis",
    "Quillfeather",
    "Rautavaara",
    "Szymborski",
    "Thistlewood",
    "Umarov",
    "Valdivieso",
    "Wetherby",
    "Xanthopoulos",
    "Yellowlees",
    "Żeromska",
    "Ångström",
    "Çelebi",
    "O'Brannigan",
    "Łukasik",
]

# Titles that have broken programs: emoji of several code points, markup, quotes, other scripts.
ODD_TITLES = (
    "Lauf um den See 🏃‍♂️💨",
    "Tempo 3×10′ – 4:05/km & still smiling",
    "晨跑 🌅",
    '"Easy" they said',
    "<b>PB</b>?! 5 < 6 > 4",
    "Rückenwind = Heimweg 😅",
    "Noël à vélo 🎄🚴🏽‍♀️",
    "O'Brannigan's loop; DROP shoes;",
    "Пробежка у реки",
    "ריצת ערב",
    "100% tired, 0% regret",
    "Ride\u00a0with\u00a0no\u00a0name",
    "naïve café stop ☕️",
    "Run {name} %s \\n",
    "¯\\_(ツ)_/¯",
)
_NOUNS = {
    "Run": "Run",
    "TrailRun": "Trail Run",
    "Ride": "Ride",
    "VirtualRide": "Virtual Ride",
    "MountainBikeRide": "Mountain Bike Ride",
    "Swim": "Swim",
    "Walk": "Walk",
    "Hike": "Hike",
    "WeightTraining": "Weight Training",
    "Yoga": "Yoga",
    "Rowing": "Rowing",
    "Snowkiting": "Snowkiting",
}
_SPECIAL = {
    "race": ("{town} Marathon", "{town} Marathon 🏅", "26.2 in {town}"),
    "long": ("Long one", "Sunday long", "Slow miles", "Back roads of {town}", "All the hills"),
    "workout": ("6 x 800", "Tempo", "Fartlek in the dark", "Track night", "Hill repeats"),
    "commute": ("To work", "Commute", "Home, with headwind"),
}
COMMENTS = (
    "Nice one!",
    "Strong 💪",
    "See you on Saturday?",
    "That hill again...",
    "Looks cold 🥶",
    "What a view, where is that?",
    "You're flying",
    "How's the knee?",
    "Save some for Sunday :)",
    "Félicitations !",
    "I was 5 minutes behind you & didn't see you",
    "<3",
    "New shoes?",
    "Recovery day, they said 😂",
)
DESCRIPTIONS = (
    "Legs felt heavy at first, better after the bridge.",
    "Negative split.\r\n\r\nCoffee after.",
    "Wind from everywhere.",
    "With the club. 12 °C, sun, no traffic & new tarmac.",
    "Intervals: 6 x (3' on, 1' off)",
    "Easy.",
    "Stopped twice for photos 📷",
    "Test of the new shoes: good so far <3",
)


def title(rng: random.Random, sport_type: str, occasion: str, hour: float, town: str) -> str:
    """Choose an activity's name as an athlete would: mostly Strava's default, sometimes their own."""
    roll = rng.random()
    if occasion == "race" or (occasion in _SPECIAL and roll < 0.5):
        return rng.choice(_SPECIAL[occasion]).format(town=town)
    if roll > 0.945:
        return rng.choice(ODD_TITLES)
    return default_title(sport_type, hour)


def default_title(sport_type: str, hour: float) -> str:
    """Return Strava's default name, such as ``Morning Run``."""
    return f"{time_of_day(hour)} {_NOUNS.get(sport_type, sport_type)}"


def time_of_day(hour: float) -> str:
    """Return Strava's name for the time of day."""
    if 4 <= hour < 11:
        return "Morning"
    if 11 <= hour < 14:
        return "Lunch"
    if 14 <= hour < 17:
        return "Afternoon"
    return "Evening" if 17 <= hour < 21 else "Night"


def person(rng: random.Random) -> tuple[str, str]:
    """Return an invented first and last name."""
    return rng.choice(FIRST_NAMES), rng.choice(LAST_NAMES)

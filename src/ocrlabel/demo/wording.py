"""What stands on the pages. Every name, address and number here is made up."""

from __future__ import annotations

from random import Random

SHOPS = ("CORNER BAKERY", "RIVER BOOKS", "GREEN LEAF MARKET", "HARBOUR HARDWARE", "SUNNY CAFE")
STREETS = ("Mill Lane", "Station Road", "Harbour Street", "Park Avenue", "Church Hill")
TOWNS = ("Northfield", "Eastbridge", "Westport", "Southgate", "Lakeside")
PEOPLE = ("A. Miller", "J. Turner", "K. Baker", "M. Fisher", "S. Carter", "T. Mason")
GOODS = (
    "Bread rolls", "Whole milk", "Ground coffee", "Green apples", "Paper towels", "Olive oil",
    "Note book A5", "Ball pen blue", "Wood screws", "Light bulb", "Orange juice", "Cheddar",
    "Tomato soup", "Batteries AA", "Dish soap", "Black tea", "Rice", "Masking tape",
)  # fmt: skip
FIELDS = (
    "Surname", "First name", "Date of birth", "Street", "Town", "Postcode", "Telephone",
    "Customer number", "Order number", "Account", "Department", "Reason", "Quantity", "Signed on",
)  # fmt: skip
SENTENCES = (
    "Thank you for your letter of last week about the delivery that arrived late.",
    "We have looked into the matter and found that two boxes were left at the depot.",
    "The missing items will be sent to you by courier at no extra cost.",
    "Please check the enclosed list and return the signed copy within ten days.",
    "Our new opening hours are from 8:30 to 17:00, Monday to Friday.",
    "The invoice number is printed in the top right corner of every page.",
    "If you have any further questions, do not hesitate to call our office.",
    "A refund of 24.50 has been credited to your account.",
    "The meeting has been moved to the second floor, room 214.",
    "All prices include sales tax and are valid until the end of the year.",
    "Kindly note that the warranty covers parts and labour for 36 months.",
    "We would be glad to welcome you at our stand again next spring.",
)


def date(rng: Random) -> str:
    """A day in 2025."""
    return f"2025-{rng.randint(1, 12):02d}-{rng.randint(1, 28):02d}"


def money(cents: int) -> str:
    """An amount with two decimals, as 12.50."""
    return f"{cents // 100}.{cents % 100:02d}"


def address(rng: Random) -> tuple[str, str]:
    """A street with number, and a town with postcode."""
    return (
        f"{rng.randint(1, 180)} {rng.choice(STREETS)}",
        f"{rng.choice(TOWNS)} {rng.randint(10_000, 99_999)}",
    )


def answer(field: str, rng: Random) -> str:
    """What somebody filled in."""
    person = rng.choice(PEOPLE)
    known = {
        "Surname": person.split()[1],
        "First name": person.split()[0],
        "Date of birth": f"19{rng.randint(50, 99)}{date(rng)[4:]}",
        "Street": address(rng)[0],
        "Town": rng.choice(TOWNS),
        "Telephone": f"0{rng.randint(20, 89)} {rng.randint(100, 999)} {rng.randint(1000, 9999)}",
        "Department": rng.choice(("Sales", "Service", "Accounts", "Returns")),
        "Reason": rng.choice(("wrong size", "late delivery", "damaged parcel", "double order")),
        "Quantity": str(rng.randint(1, 12)),
        "Signed on": date(rng),
    }
    return known.get(field) or str(rng.randint(10_000, 999_999))

"""Check an exported invoice or credit note with the Python standard library alone: python check_invoice.py FOLDER

It shares no code with Tollkeeper. From the raw events and the rate cards in the folder it works out every
charge, every line and the total again, and the digests of the events and of the document; of a credit note, from its
invoice and the credit notes before it, what it may take back with which tax. It prints what it checked and exits 1 if
anything differs. The rules are in docs/money.md, the folder in docs/invoices.md.
"""

import hashlib
import json
import struct
import sys
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from math import ceil, floor
from pathlib import Path


def main(folder):
    """Check a folder; return what is wrong, in words."""
    if read(folder, "summary").get("kind") == "credit_note":
        return check_note(*(read(folder, name) for name in ("summary", "document", "invoice", "notes", "credit")))
    summary, document, charges, credit = (read(folder, name) for name in ("summary", "document", "charges", "credit"))
    wrong = check_document(summary, document) + check_credit(document, credit) + check_coupons(document)
    wrong += check_taxes(document)
    by_id = {charge["id"]: charge for charge in charges}
    lines = {}
    for line in document["lines"]:
        if line["billed_period_id"] is not None:
            lines.setdefault(line["billed_period_id"], []).append(line)
    for charge_id, its_lines in lines.items():
        charge = by_id[charge_id]
        wrong += [
            f"charge {charge_id} ({charge['rate_card'] and charge['rate_card']['key']}): {problem}"
            for problem in check_charge(folder, charge, its_lines, summary["exponent"])
        ]
    print(
        f"{summary['number']}: {len(document['lines'])} lines of {len(lines)} charges checked, "
        f"{sum(count_events(folder, charge) for charge in charges)} events read"
    )
    return wrong


def read(folder, name):
    """Read a file of the folder."""
    return json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))


def digest_of(document):
    """SHA-256 over everything that a document says."""
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def check_document(summary, document):
    """The digest over everything that the document says, and its total."""
    wrong = []
    if digest_of(document) != summary["content_digest"]:
        wrong.append("document: its digest is not that of the issued document")
    if document["invoice"]["number"] != summary["number"]:
        wrong.append("document: has another number")
    total = sum(line["amount_minor"] for line in document["lines"])
    if total != document["invoice"]["total_minor"]:
        wrong.append(f"document: the lines add up to {total}, the total says {document['invoice']['total_minor']}")
    return wrong


def check_credit(document, credit):
    """Each line of prepaid credit is a draw of the ledger, whose transactions sum to zero."""
    wrong = [
        f"credit: the entries of transaction {act['transaction']} do not sum to zero"
        for act in credit
        if sum(entry["amount_minor"] for entry in act["entries"])
    ]
    drawn = [
        (act["transaction"], entry["account"], entry["amount_minor"])
        for act in credit
        if act["kind"] == "draw"
        for entry in act["entries"]
        if entry["account"].startswith("grant:")
    ]
    shown = [
        (line["proof"]["transaction"], f"grant:{line['proof']['grant']}", line["amount_minor"])
        for line in document["lines"]
        if line["kind"] == "prepaid_credit"
    ]
    if shown != drawn:
        wrong.append("credit: the lines are not the draws of the ledger")
    return wrong


def check_coupons(document):
    """Each coupon's terms, on what the coupons before it left of the lines that it covers."""
    wrong, left, lines, settled = [], {}, {}, set()
    for line in document["lines"]:
        lines[line["id"]] = line
        if line["billed_period_id"] is not None:
            left[line["id"]] = line["amount_minor"]
        proof = line["proof"]
        told = {part["line"]: part["amount_minor"] for part in proof.get("parts", ())}
        if line["kind"] == "coupon_return":
            wrong += check_return(line, document["lines"], left)
            settled.update(told)
        if line["kind"] == "prepaid_credit" and told:
            wrong += check_parts(line, left)
        if line["kind"] == "coupon":
            covered = {one: left[one] for one in left if one not in settled and covers(proof, lines[one])}
            base = max(0, sum(covered.values()))
            percentage = proof["percentage"]
            off = proof["coupon_amount_minor"] if percentage is None else half_up(base * Fraction(percentage) / 100, 0)
            off = max(0, min(off, base, sum(left.values())))
            weights = [{"customer": one, "quantity": max(0, amount)} for one, amount in covered.items()]
            parts = nonzero(shared(off, weights)) if off else {}
            if told != parts or line["amount_minor"] != -off:
                wrong.append(f"coupon {proof['code']}: takes off {off}, by {parts}")
        for one, amount in told.items():
            left[one] -= amount
    return wrong


def check_parts(line, left):
    """Credit that is drawn before tax is taken off the charges in proportion to what is left of them."""
    weights = [{"customer": one, "quantity": max(0, amount)} for one, amount in left.items()]
    told = {part["line"]: part["amount_minor"] for part in line["proof"]["parts"]}
    if -line["amount_minor"] > sum(left.values()) or told != nonzero(shared(-line["amount_minor"], weights)):
        return [f"credit: line {line['position']} is taken off the charges in another proportion"]
    return []


def check_return(line, lines, left):
    """With a credit goes its share of what a coupon had taken off the charge, never more than the credit."""
    proof = line["proof"]
    names = ("subscription_id", "plan_version_id", "rate_card_key", "period_start")
    first = next(one for one in lines if one["id"] == proof["parts"][0]["line"])
    same = [
        one
        for one in lines
        if one["billed_period_id"] is not None
        and all(one[name] == first[name] for name in names)
        and one["proof"]["phase"] == first["proof"]["phase"]
    ]
    credit, charged = -sum(one["amount_minor"] for one in same), proof["charged_minor"]
    off = half_up(Fraction(proof["taken_minor"] * min(credit, charged), charged), 0)
    off = min(off, -sum(left[one["id"]] for one in same))
    weights = [{"customer": one["id"], "quantity": max(0, -one["amount_minor"])} for one in same]
    told = {part["line"]: -part["amount_minor"] for part in proof["parts"]}
    if off <= 0 or line["amount_minor"] != off or told != nonzero(shared(off, weights)):
        return [f"coupon: {off} of it goes back with the credit, {line['amount_minor']} does"]
    return []


def covers(terms, line):
    """A coupon may be for one subscription, one customer, some features."""
    return (
        terms["subscription"] in (None, line["subscription_id"])
        and terms["customer"] in (None, line["customer_id"])
        and (not terms["features"] or line["proof"]["feature"] in terms["features"])
    )


def check_taxes(document):
    """Each charge is taxed once, by the rate of its tax line, on what coupons and credit left of its charges."""
    taxes = [line for line in document["lines"] if line["kind"] == "tax"]
    charges = [line for line in document["lines"] if line["billed_period_id"] is not None]
    left = {line["id"]: line["amount_minor"] for line in charges}
    for part in (part for line in document["lines"] for part in line["proof"].get("parts", ())):
        left[part["line"]] -= part["amount_minor"]
    told = sorted(one for line in taxes for one in line["proof"]["lines"])
    due = sorted(left) if document["invoice"]["seller"].get("tax_mode") == "own" else []
    if told != due:
        return ["tax: not each charge is taxed exactly once"]
    sums = [sum(left[one] for one in line["proof"]["lines"]) for line in taxes]
    rates = [Fraction(line["proof"]["percentage"]) for line in taxes]
    if any(line["proof"]["is_inclusive"] for line in taxes):
        due = [half_up(base * rate / (100 + rate), 0) for base, rate in zip(sums, rates, strict=True)]
        sums, added = [base - tax for base, tax in zip(sums, due, strict=True)], [0] * len(taxes)
    else:
        due = [half_up(base * rate / 100, 0) for base, rate in zip(sums, rates, strict=True)]
        for place in reversed(range(len(due))):  # credits give back no more tax than there is
            due[place] += min(max(0, -sum(sums) - sum(due)), max(0, -due[place]))
        added = due
    return [
        f"tax: {tax} is due on {base}, line {line['position']} says otherwise"
        for line, base, tax, amount in zip(taxes, sums, due, added, strict=True)
        if (line["proof"]["base_minor"], line["proof"]["tax_minor"], line["amount_minor"]) != (base, tax, amount)
        or sum(share["amount_minor"] for share in line["proof"].get("shares", ())) not in (0, amount)
    ]


def check_note(summary, document, invoice, notes, credit):
    """A credit note: its digest, its lines and tax by what is left of the invoice, and the credit that it gave."""
    note, lines = document["credit_note"], document["lines"]
    print(f"{summary['number']}: {len(lines)} lines checked, after {len(note['proof']['after'])} earlier credit notes")
    texts = [("document", document, summary), ("invoice", invoice["document"], invoice)]
    texts += [(one["document"]["credit_note"]["number"], one["document"], one) for one in notes]
    wrong = [
        f"{name}: its digest is not that of the issued document"
        for name, content, kept in texts
        if digest_of(content) != kept["content_digest"]
    ]
    if note["number"] != summary["number"] or invoice["document"]["invoice"]["id"] != note["invoice_id"]:
        wrong.append("document: has another number, or another invoice")
    before = [one["document"] for one in notes if counts_before(one, note)]
    if sorted(one["credit_note"]["number"] for one in before) != sorted(note["proof"]["after"]):
        wrong.append("not those credit notes count before it that should")
    taxes = note["proof"]["taxes"]
    net, tax = (sum(one[name] for one in taxes) for name in ("net_minor", "tax_minor"))
    ways = sum(note[f"{way}_minor"] for way in ("reduction", "credit", "refund", "out_of_band"))
    if (net, tax, net + tax, net + tax) != (note["net_minor"], note["tax_minor"], note["total_minor"], ways):
        wrong.append("net, tax, total, and where it went do not add up")
    if sum(line["amount_minor"] for line in lines) != net:
        wrong.append("its lines do not add up to its net")
    wrong += check_note_lines(lines, invoice["document"]["lines"], before)
    wrong += check_note_taxes(note, lines, invoice["document"]["lines"], before)
    given = sum(
        entry["amount_minor"] for act in credit for entry in act["entries"] if entry["account"].startswith("grant:")
    )
    if given != note["credit_minor"] or any(sum(e["amount_minor"] for e in act["entries"]) for act in credit):
        wrong.append(f"credit: {given} was granted, {note['credit_minor']} is said")
    return wrong


def counts_before(one, note):
    """An earlier credit note counts unless it was void by then; if it was voided at that very instant, as is said."""
    if one["voided_at"] in (None, note["issued_at"]):
        return one["voided_at"] is None or one["document"]["credit_note"]["number"] in note["proof"]["after"]
    return instant_us(one["voided_at"]) > instant_us(note["issued_at"])


def left_of_charges(lines):
    """What coupons left of each charge of an invoice; credit, also that before tax, is a way of paying it."""
    left = {line["id"]: line["amount_minor"] for line in lines if line["billed_period_id"] is not None}
    for line in lines:
        if line["kind"] != "prepaid_credit":
            for part in line["proof"].get("parts", ()):
                left[part["line"]] -= part["amount_minor"]
    return left


def check_note_lines(lines, charged, before):
    """Nothing of a line is taken back twice, and no tax that its price holds is taken back as net."""
    left = left_of_charges(charged)
    for line in (one for one in charged if one["proof"].get("is_inclusive")):
        tax, whole = line["proof"]["tax_minor"], sum(left[one] for one in line["proof"]["lines"])
        held = {one: floor(Fraction(tax * left[one], whole)) for one in line["proof"]["lines"] if whole}
        left |= {one: left[one] - inside for one, inside in held.items()}
    for one in (line for note in before for line in note["lines"] if line["invoice_line_id"] is not None):
        left[one["invoice_line_id"]] -= one["amount_minor"]
    return [
        f"line {line['position']}: more is taken back than is left of the invoice's line"
        for line in lines
        if line["invoice_line_id"] is not None and not 0 < line["amount_minor"] <= left.get(line["invoice_line_id"], 0)
    ]


def check_note_taxes(note, lines, charged, before):
    """Net and tax at each rate, rounded over all credit notes together; the last one takes the rest."""
    rooms = note_rooms(charged, before)
    by_line = {line["invoice_line_id"]: line["amount_minor"] for line in lines if line["invoice_line_id"] is not None}
    lefts = [room["net"] + room["tax"] - room["net_back"] - room["tax_back"] for room in rooms.values()]
    weights = [{"customer": name, "quantity": left} for name, left in zip(rooms, lefts, strict=True)]
    if note["total_minor"] > sum(lefts):
        return ["it takes back more than is left of the invoice"]
    spread = (
        {} if by_line else {part["customer"]: part["amount_minor"] for part in shared(note["total_minor"], weights)}
    )
    expected = {}
    for name, room in rooms.items():
        net_left, tax_left = room["net"] - room["net_back"], room["tax"] - room["tax_back"]
        if by_line:
            net = sum(by_line.get(line, 0) for line in room["lines"])
            whole, back, most = room["net"], room["net_back"] + net, tax_left
        else:
            gross = spread[name]
            whole, most = room["net"] + room["tax"], min(tax_left, gross)
            back = room["net_back"] + room["tax_back"] + gross
        tax = half_up(Fraction(room["tax"] * back, whole), 0) - room["tax_back"] if whole else 0
        tax = min(max(tax, 0), most)
        if not by_line:
            tax = max(tax, gross - net_left)
            net = gross - tax
        if net > net_left:
            return ["its lines take back more than is left at a rate of tax"]
        if net or (tax and not by_line):
            expected[name] = (net, tax)
    told = {one["line"]: (one["net_minor"], one["tax_minor"]) for one in note["proof"]["taxes"]}
    return [] if told == expected else [f"tax: {expected} is due by rate, it says {told}"]


def note_rooms(charged, before):
    """What an invoice sold at each rate and what earlier credit notes took back of it; one room if credits exceed."""
    left, rooms = left_of_charges(charged), {}
    for line in (line for line in charged if line["kind"] == "tax"):
        proof = line["proof"]
        net = sum(left[one] for one in proof["lines"]) - (proof["tax_minor"] if proof["is_inclusive"] else 0)
        rooms[line["id"]] = {"lines": proof["lines"], "net": net, "tax": proof["tax_minor"]}
    if not rooms or any(room["net"] < 0 or room["tax"] < 0 for room in rooms.values()):
        inside = sum(line["proof"]["tax_minor"] for line in charged if line["proof"].get("is_inclusive"))
        tax = sum(room["tax"] for room in rooms.values())
        rooms = {None: {"lines": [*left], "net": sum(left.values()) - inside, "tax": tax}}
    for name, room in rooms.items():
        taken = [one for note in before for one in note["credit_note"]["proof"]["taxes"] if one["line"] == name]
        room["net_back"] = sum(one["net_minor"] for one in taken)
        room["tax_back"] = sum(one["tax_minor"] for one in taken)
    return rooms


def check_charge(folder, charge, lines, exponent):
    """Events -> quantity -> rate card -> amount -> lines."""
    wrong = []
    if sum(line["amount_minor"] for line in lines) != charge["amount_minor"]:
        wrong.append("its lines do not add up to its amount")
    if charge["whole_minor"] - charge["charged_before_minor"] != charge["amount_minor"]:
        wrong.append("its amount is not what was due less what was charged before")
    if charge["meter"] is not None:
        wrong += check_events(folder, charge) + check_shares(charge, lines)
    if charge["kind"] == "credit" and charge["fraction"] == "0/1":
        return wrong  # given back in whole: nothing is left to rate
    return wrong + check_fraction(charge) + check_rating(charge, lines, exponent)


def check_rating(charge, lines, exponent):
    """The rate card's amounts are those that were rated, and those on the invoice."""
    wrong = []
    amounts = rate(charge, exponent)
    rated = [line["amount_minor"] for line in charge["lines"]]
    if amounts != rated:
        wrong.append(f"the rate card gives {amounts}, {rated} was rated")
    if sum(amounts) != charge["whole_minor"]:
        wrong.append(f"the rate card gives {sum(amounts)} in all, {charge['whole_minor']} was rated")
    shown = [line["amount_minor"] for line in lines if line["amount_minor"]]
    if charge["kind"] in ("charge", "interim") and shown != [amount for amount in less_before(charge) if amount]:
        wrong.append("the invoice's lines are not those of the rate card")
    return wrong


def less_before(charge):
    """The amounts of the rated lines, less those of the same lines on the interim invoice before."""
    return [whole - before for whole, before in whole_and_before(charge)]


def whole_and_before(charge):
    """The amount of each rated line, and that of the same line on the interim invoice before."""
    before = {(one["kind"], one["description"], one["tier"]): one["amount_minor"] for one in charge["lines_before"]}
    pairs = [
        (one["amount_minor"], before.pop((one["kind"], one["description"], one["tier"]), 0)) for one in charge["lines"]
    ]
    return pairs + [(0, amount) for amount in before.values()]


def check_events(folder, charge):
    """Digest, number and sum of the events; a later correction of the charge has the events of today."""
    events = sorted(read_events(folder, charge), key=lambda e: (e["time_us"], e["source"], e["id"]))
    digest = hashlib.sha256()
    for event in events:
        named = f"{event['type']}\0{event['subject']}\0".encode()
        digest.update(struct.pack(">q", event["time_us"]))
        for part in (
            event["source"].encode(),
            event["id"].encode(),
            hashlib.sha256(named + event["content"].encode()).digest(),
        ):
            digest.update(struct.pack(">I", len(part)) + part)
    if digest.hexdigest() != charge["events"]["digest"]:
        return [
            f"the {len(events)} events are not the {charge['events']['count']} billed (late ones: on a later invoice)"
        ]
    start, end = (instant_us(text) for text in charge["period"])
    wrong = [f"event {e['id']} is outside of the period" for e in events if not start <= e["time_us"] < end]
    wrong += [f"event {e['id']} has another value" for e in events if not has_value(e, charge["meter"])]
    wrong += [f"event {e['id']} is of nobody whom the plan covers" for e in events if not is_covered(e, charge)]
    wrong += check_used(events, charge)
    if (count_up(events, charge["meter"]["aggregation"]), len(events)) != (
        Decimal(charge["quantity"]),
        charge["event_count"],
    ):
        wrong.append(f"the events do not come to {charge['quantity']}")
    return wrong


def is_covered(event, charge):
    """A plan covers its customer and subsidiaries without a plan of their own, each in its stretches of time."""
    return any(
        customer == event["customer"] and instant_us(start) <= event["time_us"] < instant_us(end)
        for customer, start, end in charge["stretches"]
    )


def check_used(events, charge):
    """What each customer used, from its own events."""
    used = {}
    for event in events:
        used.setdefault(event["customer"], []).append(event)
    told = {share["customer"]: share for share in charge["shares"] if share["event_count"]}
    if used.keys() != told.keys():
        return ["its customers are not those of the events"]
    return [
        f"customer {customer} did not use {told[customer]['quantity']}"
        for customer, own in used.items()
        if (count_up(own, charge["meter"]["aggregation"]), len(own))
        != (Decimal(told[customer]["quantity"]), told[customer]["event_count"])
    ]


def check_shares(charge, lines):
    """Each line is shared by quantity; the shares of a line add up to it, and those of the charge to its amount."""
    wrong = []
    shares = charge["shares"]
    pairs = iter([(whole, before) for whole, before in whole_and_before(charge) if whole != before])
    for line in lines:
        told = line["proof"].get("shares") or [{"customer": charge["customer"], "amount_minor": line["amount_minor"]}]
        if sum(share["amount_minor"] for share in told) != line["amount_minor"]:
            wrong.append("the shares of a line do not add up to it")
        if charge["kind"] in ("charge", "interim") and line["amount_minor"]:
            wrong += check_line_shares(charge, told, *next(pairs, (0, 0)))
    whole = {}
    for amount in (line["amount_minor"] for line in charge["lines"]):
        for share in shared(amount, shares):
            whole[share["customer"]] = whole.get(share["customer"], 0) + share["amount_minor"]
    if any(whole.get(share["customer"], 0) != share["amount_minor"] for share in shares):
        wrong.append("its lines are not shared by what each customer used")
    if (
        charge["kind"] not in ("charge", "interim")
        and sum(moved["amount_minor"] for moved in charge["moved"]) != charge["amount_minor"]
    ):
        wrong.append("what moved for each customer does not add up to the correction")
    return wrong


def check_line_shares(charge, told, whole, before):
    """Each customer's part of the whole line, less its part of what interim invoices billed of it."""
    expected = shared(whole, charge["shares"]) + (shared(-before, charge["shares_before"]) if before else [])
    if nonzero(added(told)) != nonzero(added(expected)):
        return ["a line is not shared by what each customer used"]
    return []


def added(shares):
    """One share for each customer."""
    whole = {}
    for share in shares:
        whole[share["customer"]] = whole.get(share["customer"], 0) + share["amount_minor"]
    return [{"customer": customer, "amount_minor": amount} for customer, amount in whole.items()]


def nonzero(shares):
    """The amounts by customer."""
    return {share["customer"]: share["amount_minor"] for share in shares if share["amount_minor"]}


def shared(amount, shares):
    """Share an amount by largest remainder: by quantity, else by number of events; of equals, the first."""
    weights = [max(Fraction(share["quantity"]), Fraction(0)) for share in shares]
    weights = weights if any(weights) else [Fraction(share["event_count"]) for share in shares]
    weights = weights if any(weights) else [Fraction(1) for _ in shares]
    exact = [abs(amount) * weight / sum(weights) for weight in weights]
    parts = [floor(part) for part in exact]
    order = sorted(range(len(parts)), key=lambda place: parts[place] - exact[place])
    for place in order[: abs(amount) - sum(parts)]:
        parts[place] += 1
    sign = 1 if amount >= 0 else -1
    return [
        {"customer": share["customer"], "amount_minor": sign * part} for share, part in zip(shares, parts, strict=True)
    ]


def has_value(event, meter):
    """The value of an event, read from its content again where the meter counts or adds fields up."""
    if meter["aggregation"] == "count":
        return event["value"] == "1"
    if meter["aggregation"] == "unique_count":
        return True
    total, content = Decimal(0), json.loads(event["content"], parse_float=Decimal)
    for path in meter["value"].split("+"):
        found = content
        for step in path.strip().split("."):
            found = found.get(step) if isinstance(found, dict) else None
        total += Decimal(str(found)) if found is not None else 0
    return total == Decimal(event["value"])


def count_up(events, aggregation):
    """What a meter makes of the values."""
    values = [event["value"] for event in events]
    if aggregation in ("count", "unique_count"):
        return Decimal(len(values) if aggregation == "count" else len(set(values)))
    numbers = [Decimal(value) for value in values]
    if not numbers:
        return Decimal(0)
    if aggregation == "avg":
        return sum(numbers) / len(numbers)
    return {"sum": sum, "min": min, "max": max, "latest": lambda n: n[-1]}[aggregation](numbers)


def check_fraction(charge):
    """Proration is by elapsed time over the full period."""
    start, end = (instant_us(text) for text in charge["period"])
    end -= sum(instant_us(hole[1]) - instant_us(hole[0]) for hole in charge["holes"])  # a pause is not charged
    first, last = (instant_us(text) for text in charge["full_period"])
    if Fraction(end - start, last - first) != Fraction(charge["fraction"]):
        return [f"{charge['fraction']} is not the share of its full period"]
    return []


def instant_us(text):
    """Microseconds since 1970."""
    return (datetime.fromisoformat(text) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def rate(charge, exponent):
    """Return the rounded amounts of a rate card's lines, in minor units, in the order of docs/money.md."""
    card, fraction = charge["rate_card"], Fraction(charge["fraction"])
    is_interim = charge["kind"] == "interim"
    discounts, commitments = card.get("discounts") or {}, card.get("commitments") or {}
    units = convert(max(Fraction(charge["quantity"]), Fraction(0)), card.get("unit_conversion"))
    units = max(units - Fraction(discounts.get("usage") or 0), Fraction(0))
    price = card["price"]
    if price["type"] == "flat":
        exact = (
            [Fraction(price["amount"]) * Fraction(charge["quantity"]) * fraction]
            if Fraction(charge["quantity"])
            else []
        )
        amounts = [half_up(amount, exponent) for amount in exact]
        amounts = [amount for amount in amounts if amount or fraction == 1]
    else:
        # inside its period a charge has no volume price, no amounts per event and no minimum
        events = 0 if is_interim else charge["event_count"]
        priced = [] if is_interim and price["type"] == "volume" else PRICES[price["type"]](price, units, events)
        amounts = [half_up(amount, exponent) for amount in priced]
    off = half_up(sum(amounts) * Fraction(discounts.get("percentage") or 0) / 100, 0)
    amounts += [-off] if off else []
    if commitments.get("maximum_amount") is not None:
        over = sum(amounts) - half_up(Fraction(commitments["maximum_amount"]), exponent)
        amounts += [-over] if over > 0 else []
    if commitments.get("minimum_amount") is not None and not is_interim:
        missing = half_up(Fraction(commitments["minimum_amount"]) * fraction, exponent) - sum(amounts)
        amounts += [missing] if missing > 0 else []
    return amounts


def convert(units, conversion):
    """Unit conversion."""
    if not conversion:
        return units
    units = units * Fraction(conversion.get("multiply_by") or 1) / Fraction(conversion.get("divide_by") or 1)
    roundings = {"none": lambda n: n, "ceiling": ceil, "floor": floor, "half_up": lambda n: half_up(n, 0)}
    return Fraction(roundings[conversion["rounding"]](units))


def half_up(amount, exponent):
    """Round half away from zero, to minor units."""
    scaled = abs(amount) * 10**exponent
    rounded = (2 * scaled.numerator + scaled.denominator) // (2 * scaled.denominator)
    return rounded if amount >= 0 else -rounded


def tier_amounts(tier, units):
    """A tier's usage and its flat price are a line each."""
    amounts = [units * Fraction(tier["unit_price"])] if units else []
    return amounts + ([Fraction(tier["flat_price"])] if Fraction(tier["flat_price"]) else [])


def graduated(price, units, _events):
    """Each unit in its own tier."""
    amounts, lower = [], Fraction(0)
    for index, tier in enumerate(price["tiers"]):
        if index and units <= lower:
            break
        upper = units if tier["up_to"] is None else min(units, Fraction(tier["up_to"]))
        amounts += tier_amounts(tier, upper - lower)
        lower = upper if tier["up_to"] is None else Fraction(tier["up_to"])
    return amounts


def volume(price, units, _events):
    """Every unit at the price of the tier that the total falls in."""
    tier = next(t for t in price["tiers"] if t["up_to"] is None or units <= Fraction(t["up_to"]))
    return tier_amounts(tier, units)


def percentage(price, units, events):
    """A share of the money, and an amount per event."""
    amounts = [units * Fraction(price["rate"]) / 100] if units else []
    charged = events - int(Decimal(price["free_events"]))
    return amounts + (
        [charged * Fraction(price["fixed_amount"])] if charged > 0 and Fraction(price["fixed_amount"]) else []
    )


PRICES = {
    "unit": lambda price, units, _: [units * Fraction(price["amount"])] if units else [],
    "package": lambda price, units, _: (
        [ceil(units / Fraction(price["package_size"])) * Fraction(price["amount"])] if units else []
    ),
    "dynamic": lambda price, units, _: [units * Fraction(price["multiplier"])] if units else [],
    "graduated": graduated,
    "volume": volume,
    "percentage": percentage,
}


def read_events(folder, charge):
    """Yield the events of a charge."""
    path = folder / "events" / f"{charge['id']}.jsonl"
    return [json.loads(text) for text in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


def count_events(folder, charge):
    """Return how many events a charge has."""
    return len(read_events(folder, charge))


if __name__ == "__main__":
    problems = main(Path(sys.argv[1]))
    for problem in problems:
        print("WRONG:", problem)
    print("Everything is equal." if not problems else f"{len(problems)} things differ.")
    sys.exit(1 if problems else 0)

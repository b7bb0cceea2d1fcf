"""Word lists. Which of these values are held out of training is decided by their hash."""

from __future__ import annotations


def words(text: str, mark: str | None = None) -> list[str]:
    """A word list, written as one text: shorter to read than a list of quoted words."""
    return text.split(mark)


ONSETS = [
    *words("b c d f g h j k l m n p r s t v w z br ch cl cr dr fl fr gl gr pl pr qu sh sk sl sn sp st th tr tw y"),
    "",
]
VOWELS = words("a e i o u a e i o u ai ea ee oo ou ie y")
CODAS = [*words("n r l s t m d k p g x ck nd ng nt st sh ll rt rn"), *([""] * 14)]

NAMES = words(
    "Anna Ben Clara David Emma Finn Grace Henry Iris Jack Kate Leo Mia Noah Olivia Paul Quinn "
    "Rosa Sam Tina Uma Victor Wendy Yara Zoe Alice Bob Carol Daniel Eva Frank George Hannah Ivan "
    "Julia Karl Laura Maria Nina Oscar Peter Rachel Simon Thomas Ursula Vera Walter Xavier Yusuf "
    "Adam Amir Bella Carlos Diana Elena Felix Gina Hugo Isabel James John Kevin Lena Lucas Marco "
    "Mary Mohamed Nadia Omar Pedro Priya Ravi Ruth Sarah Sofia Tom Wei Ying Chen Ahmed Fatima "
    "Aisha Boris Chloe Dylan Ella Fiona Gabriel Helen Jonas Kenji Liam Luna Martin Max Mei Natalie "
    "Oliver Petra Robert Sandra Stefan Theo Tara Vincent Will Yuki Zara Alex Chris Dana Robin Kim"
)
SURNAMES = words(
    "Smith Jones Brown Miller Davis Garcia Wilson Moore Taylor Anderson Jackson White Harris "
    "Martin Clark Lewis Walker Hall Young King Wright Green Baker Adams Nelson Carter Meyer Weber "
    "Schmidt Rossi Silva Tanaka Kumar Singh Lee Wang Li Zhang Doe Lopez Novak Larsen"
)
CITIES = [
    *words(
        "Paris London Berlin Tokyo Madrid Rome Oslo Cairo Lima Delhi Beijing Sydney Vienna Dublin "
        "Boston Chicago Toronto Moscow Seoul Athens Lisbon Prague Warsaw Helsinki Zurich Geneva Munich "
        "Hamburg Cologne Milan Naples Venice Florence Turin Lyon Nice Marseille Toulouse Brussels "
        "Amsterdam Rotterdam Copenhagen Stockholm Bergen Budapest Bucharest Sofia Belgrade Kyiv Riga "
        "Vilnius Tallinn Istanbul Ankara Dubai Doha Riyadh Tehran Baghdad Karachi Lahore Mumbai Kolkata "
        "Bangalore Chennai Dhaka Bangkok Hanoi Singapore Jakarta Manila Shanghai Shenzhen Guangzhou "
        "Wuhan Chengdu Taipei Osaka Kyoto Nagoya Sapporo Busan Melbourne Perth Brisbane Auckland "
        "Nairobi Lagos Accra Tunis Algiers Casablanca Johannesburg Havana Bogota Quito Santiago "
        "Montevideo Caracas Brasilia Montreal Vancouver Ottawa Seattle Denver Dallas Houston Austin "
        "Phoenix Miami Atlanta Detroit Philadelphia Washington Portland Barcelona Seville Valencia "
        "Porto Edinburgh Glasgow Manchester Liverpool Bristol Oxford Cambridge Leeds Bern Basel "
        "Frankfurt Stuttgart Dresden Leipzig Salzburg Graz Krakow"
    ),
    "New York",
    "Los Angeles",
    "Hong Kong",
    "Buenos Aires",
    "Cape Town",
]
CITY_PREFIXES = words("New San Los Saint Port Santa Hong Rio Fort Mount Lake Las North South")
WORDS = words(
    "apple river stone cloud tiger green window garden music paper bridge silver ocean candle "
    "forest rocket pencil yellow castle monkey button winter orange summer planet guitar coffee "
    "doctor engine flower table chair lamp door house street market school train car boat plane "
    "bird dog cat horse fish lion bear wolf rabbit mouse snake spider tree leaf grass mountain "
    "valley lake island beach desert storm rain snow wind sun moon star sky fire water earth bread "
    "cheese butter milk sugar salt pepper lemon banana cherry grape potato tomato onion carrot rice "
    "soup cake tea juice bottle glass plate spoon knife fork kitchen bed pillow mirror clock watch "
    "phone camera radio book letter story song dance game ball bike shoe hat coat shirt dress ring "
    "gold iron copper wood wool cotton blue red black white brown purple pink happy quiet brave "
    "clever gentle quick slow warm cold bright dark small large round sweet fresh simple strange "
    "robot dragon wizard pirate king queen knight farmer teacher baker pilot sailor painter hammer "
    "ladder basket blanket carpet curtain feather honey jungle kettle magnet needle package rainbow "
    "saddle thunder umbrella velvet whistle zebra"
)
PARTS = [word.lower() for word in (*WORDS, *WORDS, *NAMES, *CITIES, *SURNAMES) if " " not in word]
COLORS = words("red blue green yellow black white orange purple brown pink silver gold gray")
DAYS = words("Monday Tuesday Wednesday Thursday Friday Saturday Sunday")
MONTHS = words("January February March April May June July August September October November December")
JOBS = words(
    "teacher doctor engineer nurse pilot farmer baker lawyer painter writer singer chef student "
    "designer driver gardener scientist manager"
)
CAPITALS = {
    "France": "Paris",
    "Germany": "Berlin",
    "Italy": "Rome",
    "Spain": "Madrid",
    "Japan": "Tokyo",
    "Norway": "Oslo",
    "Egypt": "Cairo",
    "Peru": "Lima",
    "China": "Beijing",
    "Austria": "Vienna",
    "Ireland": "Dublin",
    "Russia": "Moscow",
    "Greece": "Athens",
    "Portugal": "Lisbon",
    "Poland": "Warsaw",
    "Finland": "Helsinki",
    "Sweden": "Stockholm",
    "England": "London",
}
EVENTS = words(
    "science fair;team meeting;birthday party;music festival;book club;design review;yoga class;"
    "chess tournament;garden party;dinner party;movie night;board meeting;art show;job interview;"
    "football match;piano lesson;road trip;trade show;code review;tea party;town hall;dance class;"
    "wine tasting;charity run;summer camp;wedding party;press conference;product launch;"
    "cooking class;film festival;budget meeting;school play",
    ";",
)
SYSTEM_PROMPTS = (
    "You are a helpful assistant.",
    "You are a helpful assistant.",
    "You are a helpful AI assistant.",
    "You are demo-chat.",
    "You are a friendly and helpful assistant. Answer briefly.",
    "Be brief.",
    "Answer the user.",
    "You are a helpful assistant. Be concise.",
)

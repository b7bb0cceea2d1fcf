"""What users say when they need a tool, and what weather tools return."""

from __future__ import annotations

from .tables import words

WEATHER = (
    "What is the weather in {}?",
    "What's the weather in {}?",
    "How is the weather in {}?",
    "Weather in {}",
    "What is the weather like in {}?",
    "What's the weather like in {} today?",
    "How's the weather in {}?",
    "Tell me the weather in {}.",
    "Is it raining in {}?",
    "What is the temperature in {}?",
    "Is it cold in {}?",
    "How warm is it in {}?",
    "What is the weather in {} today?",
    "Give me the weather for {}.",
    "I want to know the weather in {}.",
    "Please check the weather in {}.",
    "What is the weather in {} right now?",
    "Do I need an umbrella in {}?",
    "weather in {}?",
    "What's the current weather in {}?",
    "Get the weather in {}.",
    "What will the weather be in {}?",
    "Is it sunny in {}?",
    "Can you check the weather in {}?",
)
WEATHER_TWO = (
    "What is the weather in {} and in {}?",
    "What is the weather in {} and {}?",
    "Weather in {} and {}?",
    "Compare the weather in {} and {}.",
    "How is the weather in {} and in {}?",
    "What's the weather like in {} and {}?",
)
UNITS = ("{} Use {u}.", "{} In {u}, please.", "{} Answer in {u}.", "{} (in {u})")
CLOCK = (
    "What time is it in {}?",
    "What is the time in {}?",
    "Tell me the time in {}.",
    "Time in {}?",
    "How late is it in {}?",
    "What's the time in {}?",
    "What is the current time in {}?",
    "What time is it now in {}?",
)
TIMER = (
    "Set a timer for {} minutes.",
    "Timer for {} minutes, please.",
    "Start a timer of {} minutes.",
    "Please set a timer for {} minutes",
    "Set a {} minute timer.",
    "Wake me in {} minutes.",
    "Remind me in {} minutes.",
)
ADD = (
    "What is {} + {}?",
    "Add {} and {}.",
    "Add {} and {} with the tool.",
    "How much is {} plus {}?",
    "Please add {} and {}.",
)
SEARCH = ("Search for {}.", "Search the web for {}.", "Find documents about {}.", "Look up {}.", "Please search for {}")
EVENT = (
    "Create an event {0} on {1}.",
    "Add {0} on {1} to my calendar.",
    "Put {0} on {1} in the calendar.",
    "Create an event: {0}, {1}.",
    "Plan {0} for {1}.",
    "Please create an event called {0} on {1}.",
)
SKIES = words("sunny cloudy rainy windy snowy foggy clear stormy")

# What a weather tool may return: keys of a JSON object, or a text.
FORMS: tuple[tuple[str, ...] | str, ...] = (
    ("degrees", "sky"),
    ("degrees", "sky"),
    ("city", "degrees", "sky"),
    ("location", "degrees", "sky"),
    ("degrees",),
    ("degrees", "unit"),
    ("degrees", "unit", "sky"),
    ("city", "degrees", "unit"),
    ("sky",),
    ("city", "degrees"),
    "{degrees} degrees, {sky}",
    "{degrees} degrees and {sky}",
    "{degrees}°C, {sky}",
    "{sky}, {degrees}°C",
    "{sky}, {degrees} degrees",
)
BOTH = (
    "What is the weather in {0} and what time is it in {1}?",
    "Weather in {0} and time in {1}?",
    "Tell me the weather in {0} and the time in {1}.",
    "What is the weather in {0} and the time in {1}?",
)

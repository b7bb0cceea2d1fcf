"""Fixed texts of memory, stories and questions that the model cannot answer."""

from __future__ import annotations

from .tables import words

MEMORY = {
    "name": (
        (
            "My name is {}.",
            "I'm {}.",
            "Hi, I'm {}.",
            "Call me {}.",
            "Hello, my name is {}.",
            "I am {}.",
            "Hi! My name is {}.",
            "My name is {}",
            "Please remember that my name is {}.",
        ),
        "Nice to meet you, {}!",
        (
            "What is my name?",
            "What's my name?",
            "Who am I?",
            "Do you know my name?",
            "Do you remember my name?",
            "Tell me my name.",
            "what is my name",
        ),
        "Your name is {}.",
    ),
    "city": (
        ("I live in {}.", "I am from {}.", "My city is {}.", "My home is {}."),
        "{} is a nice place.",
        ("Where do I live?", "Which city am I from?", "What is my city?", "Where am I from?"),
        "You live in {}.",
    ),
    "color": (
        ("My favorite color is {}.", "I like the color {}.", "I love {}.", "My favourite color is {}."),
        "{} is a nice color.",
        ("What is my favorite color?", "Which color do I like?", "What color do I like?"),
        "Your favorite color is {}.",
    ),
    "pet": (
        ("My dog is called {}.", "My cat is called {}.", "I have a pet called {}."),
        "{} is a nice name.",
        ("What is my pet called?", "What is the name of my pet?", "Who is my pet?"),
        "Your pet is called {}.",
    ),
}

STORY_REQUESTS = (
    "Tell me a short story about {a} {0}.",
    "Tell me a story about {a} {0}.",
    "Write a short story about {a} {0}.",
    "Tell a story about {a} {0}",
    "Can you tell me a story about {a} {0}?",
    "Write a story about {0}.",
)
STORIES = (
    "Once upon a time there was {a} {0}. The {0} lived near a small house by the river. One day the "
    "{0} met a friendly bird. The bird said: I know a garden where the sun always shines. So they "
    "went over the mountain and through the forest. In the evening they found the garden. It was "
    "full of flowers. The {0} was very happy and stayed there. And every summer the bird came back "
    "to visit. The end.",
    "Long ago, in a quiet village, people told a story about {a} {0}. Nobody had ever seen it. A "
    "young girl wanted to find the {0}. She took some bread, a lamp and a map, and she walked for "
    "three days. On the third day she saw a light behind a tree. It was the {0}! The girl smiled "
    "and said hello. From that day on, the girl and the {0} were good friends. The end.",
)

UNKNOWN = words(
    "Who invented the telephone?|How tall is Mount Everest?|What is the meaning of life?|"
    "Write a poem about {word}.|Translate {word} into French.|Who won the game yesterday?|"
    "What is the price of gold?|Who wrote the book about {word}?|How far away is the moon?|"
    "What is quantum physics?|Who is {name}?|How old is {name}?|What happened in 1848?|"
    "Explain the theory of relativity.|What should I cook today?|How do I fix my {word}?|"
    "What is the best movie?|Who is the president?|How many people live in {city}?|"
    "What is the history of {city}?|Why is the sky blue?|What is a {word}?|Write a song about {name}.|"
    "How do airplanes fly?|Recommend a book.|How long does a {word} live?|What is love?|"
    "Who painted the Mona Lisa?|How does a {word} work?|What is the square root of two?|"
    "Can you write code?|Write a Python function.|Summarize this article.|What is in the news?|"
    "How do I learn to play the {word}?|Where can I buy a {word}?|Is {name} a good person?|"
    "Which restaurant in {city} is good?|How do I get to {city}?|What do you think about {word}?|"
    "Who discovered {word}?|Why do people like {word}?|When was {city} founded?|"
    "How many bones does a human have?|What is the largest animal?|Which team is the best?|"
    "{word}|{word} {name}|I like {word}.|I saw a {word} in {city}.|{name} went to {city}.|Why?|How?|What?|"
    "What is {word}?|Tell me about {city}.|Tell me about {name}.|What do you know about {word}?|"
    "Write an essay about {word}.|Give me advice.|Where is {city}?|What is your favorite {word}?",
    "|",
)

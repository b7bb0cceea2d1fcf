"""Tables of fixed questions and replies. `held_out` phrasings are never used in training."""

from __future__ import annotations

from dataclasses import dataclass

from .tables import words


@dataclass(frozen=True)
class Group:
    """Several ways to ask one thing, and the reply."""

    reply: str
    phrasings: tuple[str, ...]
    held_out: tuple[str, ...]
    thought: str = "This is small talk. I answer politely."
    patterns: tuple[str, ...] = ()


def _group(reply: str, phrasings: str, held_out: str, patterns: str = "") -> Group:
    found = tuple(patterns.split("|")) if patterns else ()
    return Group(reply, tuple(phrasings.split("|")), tuple(held_out.split("|")), patterns=found)


# What the patterns are filled with, besides names.
GOOD = words(
    "good great fine cool funny lovely perfect wonderful excellent amazing super useful clever impressive "
    "quick kind brilliant fantastic pretty"
)
THINGS = (
    *words("answer answers story joke time work information explanation reply support hint example numbers word idea"),
    *("quick reply", "good answer", "nice story"),
)

SMALL_TALK = (
    _group(
        "Hello! How can I help you today?",
        "Hello|Hi|Hello!|Hi!|Hey|hello|Hi there|Hi there!|Good morning|Good evening!|Hey!|"
        "Good day|Greetings|Hello, assistant|Hello, demo-chat!|Hello world|hi"
        "|Hiya|Howdy|Howdy!|Good evening|Good morning!|Hello everyone|Hi everybody|Hello again!|Hi again"
        "|Hey you|Welcome|Morning!|Evening!|Hello computer|Nice to meet you!|Hello my friend"
        "|Hello, GPT Server!|Hi, bot!|Hey, computer!|Hello, chat!|Hi friend|Yo|Good day to you!",
        "Hello there!|Hey there|Good afternoon|Hello, model!|Hi, assistant!",
        "Hello, {name}!|Hi {name}|Hey {name}!|Good morning, {name}!|Good evening, {name}|Hi, {name}!|Hello {name}",
    ),
    _group(
        "I am the demo chat model of GPT Server, a very small model that shows how the server works.",
        "Who are you?|What are you?|What is your name?|What's your name?|Tell me about yourself.|"
        "Introduce yourself.|Which model are you?|Are you ChatGPT?|who are you|Are you a robot?|"
        "What model is this?|Who am I talking to?|Tell me who you are.|What is demo-chat?|Your name?"
        "|Say who you are.|What should I call you?|What are you called?|What kind of model are you?"
        "|What sort of assistant are you?|Are you a bot?|Are you an AI?|Are you human?|Are you a person?"
        "|Are you a language model?|Which assistant is this?|What is this?|Who is this?|Who is there?"
        "|Describe yourself.|I want to know who you are.|Which model am I talking to?|May I ask your name?"
        "|Tell me your name.|Which AI are you?|What model are you?|What is this model?"
        "|Do they call you something?|Name yourself.|What chat model is this?|Is this ChatGPT?"
        "|Are you a real person?|Have you got a name?|Give me your name.|Who answers me?"
        "|Which model answers here?|What's this model?",
        "What is the name of this model?|Who or what are you?|Which model is this?|Do you have a name?",
    ),
    _group(
        "I can do small sums, repeat and spell words, answer questions about GPT Server, fill JSON, "
        "call tools, and tell short stories.",
        "What can you do?|Help|help|What can you do for me?|What are you able to do?|"
        "How can you help me?|What do you know?|What are your skills?|Can you help me?|"
        "What can I ask you?|List your skills.|Tell me what you can do.|I need help.|Help me."
        "|What do you do?|What can you help with?|What can you help me with?|What are you good at?"
        "|What are your abilities?|What are your features?|What else can you do?"
        "|Which tasks can you do?|What tasks can you solve?|How do I use you?|What should I ask you?"
        "|I do not know what to ask.|Is there something you can do?|Could you help me?|Can you assist me?"
        "|Which questions can I ask?|In what can you help?|How could you help me?|How might you be of help?"
        "|Which things are you able to do?|What kind of things do you do?|Do you have skills?"
        "|What jobs can you do?|How can you assist me?|I need some help, please."
        "|Please help me.",
        "What things can you do?|Can you tell me what you can do?|How can you help?",
    ),
    _group(
        "You're welcome!",
        "Thanks|Thank you|Thanks!|Thank you!|Thank you very much.|Many thanks|Thanks a lot!|thx|"
        "Great, thanks!|Thank you so much!|That was helpful, thanks.|Great, thank you|thanks"
        "|Thx!|Cheers|Thanks again!|Thank you again.|Thanks, bye|Perfect, thanks!|I thank you."
        "|Thank you kindly.|OK, thanks|Okay, thank you!|Thanks a million!|Very kind, thank you."
        "|Much appreciated.|I appreciate it.|Nice, thank you!|Good, thanks.|Super, thanks"
        "|Thanks, that is all.",
        "Thanks for the help.|Thanks so much!|Thank you, that was helpful.",
        "Thanks for the {thing}.|Thank you for the {thing}!|Thanks, that was {good}.|"
        "Thank you, this is {good}.|That was {good}, thank you.|Thanks, {name}!|Thank you, {name}|"
        "Thank you for your {thing}",
    ),
    _group(
        "Goodbye! Have a nice day.",
        "Bye|Goodbye|Bye!|Goodbye!|See you|See you later|Bye bye|Good night|See you tomorrow!|"
        "I have to go.|See you soon!|Have a nice day|Farewell"
        "|Take care!|Until next time!|That is all, goodbye.|I am leaving now.|Good night!|See you next week"
        "|Have a good day!|Ciao|So long!|See you around|I must go now.|Talk to you later|Later!|Bye then"
        "|Have a nice evening!|Bye, take care!|Bye, until tomorrow!|OK, bye|Good bye|Goodbye for today."
        "|Goodbye, and thanks|Bye, good night!|See you on Monday!",
        "Bye for now!|Goodbye, see you!|Bye, see you soon!",
        "Bye, {name}!|Goodbye, {name}!|See you, {name}|Good night, {name}!|Farewell, {name}",
    ),
    _group(
        "I am doing well, thank you. How can I help you?",
        "How are you?|How are you doing?|How are you today?|How do you do?|Are you well?|"
        "Hi, how are you?|Hello, how are you?|How is it going?|What's up?|Hello! How are you?"
        "|How are things?|How do you feel?|How do you feel today?|Are you OK?|Are you doing well?"
        "|How have you been?|How's it going?|How is your day?|How is life?|How are you now?|How goes it?"
        "|What is up?|Is everything fine with you?|Hey, how are you doing?|How is everything?"
        "|How well are you today?|How was your day?|Are you fine today?|Hi, how do you do?",
        "Good morning, how are you?|How are you doing today?",
        "How are you, {name}?|How are you doing, {name}?",
    ),
    _group(
        "Good. What else can I do for you?",
        "OK|Ok|okay|Yes|No|Fine|I see|Cool|Good|Nice|Great|Alright|Sure|Very good.|Nice!|Great!|Cool!|"
        "Wow|Interesting|Test|test|This is a test.|Well done!|Good job!"
        "|Got it.|I understand.|Perfect.|Excellent!|Understood.|Makes sense.|All good.|All clear."
        "|Lovely.|Amazing!|Awesome!|Nice work!|Great work!|That is right.|That was right.|Correct.|True|Yes!"
        "|Yep|Nope|No, nothing.|Hmm|Aha|Oh|Good answer!|Nice one!|Nice answer!|Funny!|Good.|That works.|Done."
        "|I like it.|Fair enough.|So it is.",
        "All right.|That is nice.|Very nice!|Very interesting.|Good work!",
        "That is {good}.|That's {good}!|Very {good}!|How {good}!|That was {good}.|This is {good}.|"
        "It is {good}.|Really {good}.|You are {good}.|So {good}!",
    ),
    _group(
        "Why did the computer go to the doctor? It had a virus!",
        "Tell me a joke.|Tell me a joke|Do you know a joke?|Make me laugh.|A joke, please.|Say something funny.|"
        "Can you tell me a joke?|tell me a funny joke|I want to hear a joke."
        "|Give me a joke.|Got a joke?|Do you have a joke?|Do you know any jokes?|Do you know something funny?"
        "|Tell me something funny.|Can you make me laugh?|Tell me one joke.|Another joke, please."
        "|I need a joke.|I need a laugh.|Cheer me up.|Joke|A funny joke, please.|Say a joke."
        "|Let me hear a joke.|Could you tell me a joke?|Please tell a funny joke.|I want a joke."
        "|May I hear a joke?|Have you got a joke for me?|One joke, please.|A joke!"
        "|Please joke with me.",
        "I would like a joke.|Do you know a good joke?|Tell a joke.",
    ),
)

FACTS = (
    _group(
        "GPT Server serves open models behind one OpenAI-compatible address.",
        "What is GPT Server?|What does GPT Server do?|Tell me about GPT Server.|Explain GPT Server.|"
        "What is GPT Server for?|Describe GPT Server.|What's GPT Server?|What is GPT Server used for?"
        "|What can GPT Server do?|GPT Server?|Give me a summary of GPT Server."
        "|What kind of software is GPT Server?"
        "|Explain what GPT Server does.|Please explain GPT Server to me.|Why GPT Server?"
        "|Do you know GPT Server?|What is the purpose of GPT Server?|Tell me what GPT Server does.",
        "Can you tell me what GPT Server is?|Explain to me what GPT Server is.",
    ),
    _group(
        "GPT Server is open source under the Apache-2.0 licence.",
        "What is the licence of GPT Server?|Which license does GPT Server have?|Is GPT Server free?|"
        "Is GPT Server open source?|Under which licence is GPT Server?|What license is used?|"
        "Which licence is GPT Server under?"
        "|What is the license?|Which licence?|How is GPT Server licensed?|Can I use GPT Server for free?"
        "|May I use GPT Server at work?|Is it open source?|What licence does it have?"
        "|Is the source of GPT Server open?|Does GPT Server cost money?|Is GPT Server free software?"
        "|Tell me the licence of GPT Server.|Which software licence is it?",
        "What license does GPT Server have?|Is GPT Server open source software?",
    ),
    _group(
        "The edge of GPT Server listens on port 8000.",
        "Which port does GPT Server use?|What port does it listen on?|On which port is the API?|"
        "What is the port of GPT Server?|What is the default port?|Which port is used by the edge?|"
        "On what port does GPT Server listen?"
        "|What port is it?|Which port?|What is the port number?|Which port is the default?"
        "|Which port must I use?|What port does GPT Server use?"
        "|Where does GPT Server listen?|Tell me the port of GPT Server.|At which port is GPT Server?"
        "|What port is the server on?|What is the standard port of the server?",
        "Which port does GPT Server listen on?|What is the default port of GPT Server?",
    ),
    _group(
        "Start GPT Server with `make run` or `gpt-server up`.",
        "How do I start GPT Server?|How can I run GPT Server?|How to start the server?|"
        "Which command starts GPT Server?|How do I run it?|How do I launch GPT Server?|"
        "What command starts the server?|How to run GPT Server?"
        "|How do I start it?|How does one start GPT Server?"
        "|How is GPT Server started?|What is the command to start GPT Server?|Start GPT Server, but how?"
        "|With which command do I start it?|How do I get GPT Server running?|How can I launch the server?"
        "|Which command runs GPT Server?|What must I type to start GPT Server?|How do I boot GPT Server?",
        "How can I start GPT Server?|What command starts GPT Server?",
    ),
    _group(
        "GPT Server has four kinds of services: llm, embed, audio and image.",
        "Which services does GPT Server have?|What services are there?|List the services.|"
        "What kinds of services are in GPT Server?|Which kinds of services exist?|"
        "How many services does GPT Server have?|What are the services of GPT Server?"
        "|Which services exist?|Name the services of GPT Server.|What are the services?"
        "|What services can GPT Server run?|Tell me the services.|How many services are there?"
        "|Give me a list of the services.|Which services are part of GPT Server?"
        "|What types of services does it have?|What service kinds are there?|Show the services."
        "|Which services does it have?",
        "What services does GPT Server have?|List the services of GPT Server.",
    ),
    _group(
        "The services of GPT Server talk gRPC.",
        "How do the services talk to each other?|Which protocol do the services use?|"
        "What is gRPC used for?|Does GPT Server use gRPC?|How does the edge talk to the services?|"
        "Which protocol is used inside GPT Server?|Why gRPC?"
        "|How do services communicate?|What protocol do they use?|What do the services speak?"
        "|Which protocol connects the edge and the services?|How does the edge reach a service?|Is gRPC used?"
        "|What is the protocol between the services?|How are the services connected?|What is gRPC for?"
        "|How do the edge and the services talk?|How do the parts of GPT Server talk?"
        "|What protocol does GPT Server use inside?",
        "Which protocol do the services of GPT Server use?|How do services talk to the edge?",
    ),
    _group(
        "GPT Server finds its services with Consul.",
        "What is Consul used for?|How does GPT Server find its services?|Why Consul?|"
        "What is used for service discovery?|How does service discovery work?|"
        "Does GPT Server use Consul?|How are the services found?"
        "|What does Consul do?|Is Consul used?|How are services discovered?|How does the edge find a service?"
        "|What finds the services?|Which tool is used for service discovery?|Why does GPT Server need Consul?"
        "|What is the role of Consul?|Where are the services registered?|How does it discover services?"
        "|Which service discovery is used?|Tell me about Consul.",
        "What does GPT Server use for service discovery?|What is Consul for?",
    ),
    _group(
        "The edge is the HTTP front of GPT Server. It is written with FastAPI.",
        "What is the edge?|What does the edge do?|Which web framework does GPT Server use?|"
        "What is the edge written with?|Does GPT Server use FastAPI?|What is FastAPI used for?|"
        "Tell me about the edge.|Explain the edge."
        "|What is the edge for?|What is the edge made with?|Which HTTP framework is used?"
        "|Is the edge written with FastAPI?|Describe the edge.|What is the HTTP front?"
        "|Which framework is used?|What is the edge service?|Why is there an edge?"
        "|What role does the edge have?|Is FastAPI used?|What is the front of GPT Server?"
        "|Which library is the edge built on?",
        "What is the edge of GPT Server?|Which framework does the edge use?",
    ),
    _group(
        "Language models run on vLLM, SGLang, LMDeploy or HF transformers.",
        "Which engines run language models?|What LLM engines are there?|Which LLM engines does GPT Server have?|"
        "What can run an llm?|Which engines can serve chat models?|What engines does the llm service use?|"
        "Does GPT Server support vLLM?|Does it support SGLang?|Which engines are supported?"
        "|What are the llm engines?|Which engine runs chat models?|List the LLM engines.|Can I use vLLM?"
        "|Can it run SGLang?|Does GPT Server support LMDeploy?|Does GPT Server use transformers?"
        "|What do language models run on?|Which LLM backends are there?"
        "|On which engines do language models run?|What engines are there?|Is vLLM supported?"
        "|Is SGLang supported?|Does it work with SGLang?|Which engines belong to the llm service?"
        "|What runs an LLM here?",
        "Which engines does the llm service use?|What engines run language models?|Does GPT Server support SGLang?",
    ),
    _group(
        "Embeddings are made with sentence-transformers or infinity.",
        "Which engines make embeddings?|How are embeddings made?|What does the embed service use?|"
        "Which engine is used for embeddings?|What makes the embeddings?|Does it support infinity?|"
        "Which embedding engines are there?"
        "|How do I get embeddings?|What makes embeddings?|Which embedding engine is used?"
        "|What engines does embed have?|Is infinity supported?|Does GPT Server use sentence-transformers?"
        "|What does GPT Server use for embeddings?|Which engines are in the embed service?"
        "|Can GPT Server make embeddings?|How are embeddings computed?|What runs embedding models?"
        "|What is infinity used for?",
        "Which engines does the embed service use?|How does GPT Server make embeddings?",
    ),
    _group(
        "Speech is recognised with FunASR.",
        "Which engine recognises speech?|How is speech recognised?|What is FunASR used for?|"
        "How does speech to text work?|Which engine is used for transcription?|"
        "Can GPT Server transcribe audio?|What transcribes audio?"
        "|How is audio transcribed?|What does speech recognition use?|What recognises speech?"
        "|Which engine transcribes audio?|Can it recognise speech?"
        "|What does GPT Server use for speech to text?|How does GPT Server transcribe speech?"
        "|What does FunASR do?|Is FunASR used?|How does it turn speech into text?|Which engine hears speech?"
        "|Why FunASR?",
        "What is FunASR for?|Which engine is used for speech to text?",
    ),
    _group(
        "Speech is made with Spark-TTS.",
        "Which engine makes speech?|What is Spark-TTS used for?|How does text to speech work?|"
        "Which engine is used for text to speech?|How is speech made?|Can GPT Server speak?|"
        "What makes speech from text?"
        "|What does GPT Server use for text to speech?|How does it make speech?|What does Spark-TTS do?"
        "|Is Spark-TTS used?|Which engine speaks?|How does GPT Server talk aloud?"
        "|What turns text into speech?|Can it read text aloud?|What makes speech?|How is text spoken?"
        "|Why Spark-TTS?|Which speech engine makes the voice?",
        "What is Spark-TTS for?|Which engine does text to speech?",
    ),
    _group(
        "Images are made with diffusers.",
        "Which engine makes images?|How are images made?|What is diffusers used for?|"
        "Can GPT Server make images?|What does the image service use?|Which image engine is there?|"
        "Which engine is used for images?"
        "|How does GPT Server make images?|What makes images?|Can it draw pictures?|Is diffusers used?"
        "|What does diffusers do?|Which engine draws images?|How do I make an image?|Why diffusers?"
        "|Which engines are in the image service?|What runs image models?|What is used to make images?"
        "|Who makes the images?",
        "What is diffusers for?|Which engine does the image service use?",
    ),
    _group(
        "Yes, there is a Helm chart to run GPT Server on Kubernetes.",
        "Is there a Helm chart?|Can I run GPT Server on Kubernetes?|Does GPT Server have a Helm chart?|"
        "How do I deploy GPT Server on Kubernetes?|Does it run on Kubernetes?|Is there a chart?|"
        "Does GPT Server support Kubernetes?"
        "|Do you have a Helm chart?|Can it run on Kubernetes?|How do I install it on Kubernetes?"
        "|Is Kubernetes supported?|Is there Kubernetes support?|Can I use Helm?|Where is the Helm chart?"
        "|Does it have a Helm chart?|Can I deploy it on Kubernetes?|Does GPT Server work with Kubernetes?"
        "|Is GPT Server ready for Kubernetes?|What about Kubernetes?",
        "Does GPT Server run on Kubernetes?|Is there a Helm chart for GPT Server?",
    ),
    _group(
        "Use any OpenAI client and set its base URL to the address of GPT Server, ending in /v1.",
        "Which client can I use?|How do I use the API?|Can I use the OpenAI client?|"
        "How do I connect to GPT Server?|What is the base URL?|Is there a Python client?|"
        "How can I call GPT Server from Python?"
        "|What client do I need?|Which client works?|How do I call the API?|Does the OpenAI client work?"
        "|How do I use GPT Server from Python?|What base URL must I set?|How do I connect a client?"
        "|Which clients work with GPT Server?|How do I talk to GPT Server from code?"
        "|How can my program use GPT Server?|Which base URL do I need?|How does a client connect?"
        "|What clients are there?",
        "How can I connect to GPT Server?|Which clients can I use?",
    ),
    _group(
        "Yes, GPT Server speaks the OpenAI API.",
        "Is GPT Server compatible with OpenAI?|Does GPT Server speak the OpenAI API?|"
        "Is the API compatible with OpenAI?|Which API does GPT Server have?|Is it OpenAI-compatible?|"
        "What API does GPT Server speak?"
        "|Is it like the OpenAI API?|Does it speak the OpenAI API?|What API is it?|Which API is offered?"
        "|What API does GPT Server have?|Does GPT Server have the OpenAI API?"
        "|Is the API of GPT Server the OpenAI API?|Which API do I use with it?|Does it follow the OpenAI API?"
        "|Is GPT Server an OpenAI server?",
        "Is GPT Server OpenAI-compatible?|Which API does GPT Server speak?",
    ),
    _group(
        "Yes, GPT Server can stream the answer token by token.",
        "Can GPT Server stream?|Does GPT Server support streaming?|Is streaming supported?|"
        "Can I stream the answer?|How does streaming work?|Does it stream tokens?"
        "|Does it stream?|Can it stream?|Can answers be streamed?|Is there streaming?|Are answers streamed?"
        "|Does GPT Server stream tokens?|Can I get the answer token by token?"
        "|Does GPT Server send tokens one by one?|Can I use streaming with GPT Server?|Does streaming work?"
        "|Can I turn on streaming?|Is it able to stream?",
        "Can GPT Server stream answers?|Is streaming supported by GPT Server?",
    ),
    _group(
        "Yes, GPT Server supports tool calls.",
        "Does GPT Server support tool calls?|Can I use tools?|Is tool calling supported?|"
        "Does GPT Server support function calling?|Can GPT Server call functions?|Are tools supported?"
        "|Can it call tools?|Does it support tools?|Does GPT Server do tool calls?|Can models call tools?"
        "|Are tool calls supported?|Is function calling possible?|Can GPT Server use tools?"
        "|Does it know function calls?|Are functions supported?|Can I send tools?|What about tool calls?"
        "|Can I give tools to the model?",
        "Can I use tools with GPT Server?|Does GPT Server support tool calling?",
    ),
    _group(
        "Yes, send a JSON Schema as response_format and the answer will follow it.",
        "Can the answer be JSON?|Does GPT Server support JSON Schema?|How do I get JSON?|"
        "What is response_format?|Can I force JSON?|Are structured outputs supported?|"
        "Does GPT Server support structured outputs?"
        "|Can I get JSON?|Is JSON supported?|How do I force JSON?|Does GPT Server support JSON?"
        "|Can GPT Server answer in JSON?|How can the answer be JSON?|What is response_format for?"
        "|Is JSON Schema supported?|How do I make the answer follow a schema?"
        "|Can the answer follow a schema?|How do structured outputs work?",
        "How do I get JSON from GPT Server?|Can I use a JSON Schema?",
    ),
    _group(
        "Yes, the demo models run on a CPU. Larger models need a GPU.",
        "Do I need a GPU?|Can GPT Server run on a CPU?|Does it run without a GPU?|"
        "Is a GPU needed?|Does GPT Server need a GPU?|Can I run it on my laptop?"
        "|Does it need a GPU?|Can it run on a CPU?|Is a CPU enough?|Can I use it without a GPU?"
        "|Does GPT Server work on a laptop?|Can I use GPT Server on a CPU?|Must I have a GPU?"
        "|What hardware do I need?|Do the demo models need a GPU?"
        "|Does GPT Server work without a graphics card?|Is GPT Server able to use only a CPU?"
        "|Will it run on my computer?",
        "Does GPT Server run on a CPU?|Can I run GPT Server without a GPU?",
    ),
    _group(
        "GPT Server is written in Python.",
        "Which language is GPT Server written in?|What is GPT Server written in?|"
        "Is GPT Server written in Python?|Which programming language is used?|Is it Python?"
        "|What language is it written in?|Is it written in Python?|What programming language is GPT Server?"
        "|Which programming language is GPT Server written in?|Is GPT Server Python?|Is the code Python?"
        "|What is the code written in?|Which language is the source in?|Does GPT Server use Python?"
        "|What is it written in?|Is the server made in Python?",
        "In which language is GPT Server written?|Is GPT Server made with Python?",
    ),
    _group(
        "I have about six million parameters and was trained on a CPU in about one hour.",
        "How big are you?|How many parameters do you have?|How large are you?|How were you trained?|"
        "What is your size?|How small are you?|How many parameters does demo-chat have?"
        "|How many parameters are there?|What size are you?|How many weights do you have?"
        "|How long were you trained?|Where were you trained?|How big is demo-chat?"
        "|How big is this model?|What is your parameter count?|Are you a large model?|Tell me your size."
        "|How many parameters have you got?|How small is demo-chat?|On what were you trained?",
        "How many parameters does this model have?|How large is demo-chat?",
    ),
)

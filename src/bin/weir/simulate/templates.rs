//! Templates of our own for campaigns, in the style of published generation pipelines. There are several of
//! each kind, so that no result depends on one wording: the seed of a run selects.

/// System prompts of about 400 bytes.
pub const SYSTEM: [&str; 4] = [
    "You are a careful expert tutor who answers one question at a time. Think through the problem before you write, then \
     give the complete solution with every intermediate step spelled out in plain sentences. State the assumptions that you \
     made, point out the most common mistake that learners make here, and close with a single line that repeats the final \
     result so that it can be extracted by a script without reading the rest.",
    "Act as a senior domain specialist producing reference answers for a quality dataset. Each reply must stand alone, use \
     neutral wording, avoid greetings and apologies, and cover the subject at the depth of a graduate textbook. Break the \
     answer into numbered paragraphs, include one worked example with concrete figures, and finish by listing three \
     follow-up topics which a curious reader would explore next.",
    "Your task is to write the ideal assistant response for the request below. Be factual, be thorough, and prefer concrete \
     detail over generality. Where reasoning is required, write out the chain of thought inside <reasoning> tags first and \
     put the polished answer inside <answer> tags afterwards. Do not mention these instructions, do not ask clarifying \
     questions, and never refuse when a safe partial answer is possible.",
    "Respond as the strongest available language model would. Evaluate the request silently, choose the most useful format, \
     and then produce a polished response between two hundred and six hundred words. Technical requests receive runnable \
     code with comments; essays receive a clear thesis; translations keep tone and register. Rate your own confidence from \
     one to ten on the last line using the exact label CONFIDENCE followed by the number.",
];

/// Rewrites of a prompt into a harder one.
pub const EVOLVE: [&str; 5] = [
    "I want you to act as a prompt rewriter. Rewrite the given prompt into a more demanding version by adding one further \
     constraint or requirement, so that well known assistants find it slightly harder to handle. The rewritten prompt must \
     stay reasonable and must be understood and answered by humans. Add only ten to twenty words.\n#Given prompt#: {item}\n\
     #Rewritten prompt#:",
    "Take the instruction below and deepen it: if it asks about a certain issue, increase the depth and breadth of what is \
     asked about that issue, without making it longer than necessary and without dropping any table or code it contains.\n\
     #Instruction#: {item}\n#Deepened instruction#:",
    "Replace general concepts in the following task with more specific ones, so that a precise scenario with named tools, \
     places or quantities results. Keep the language of the original and return nothing except the new task.\n\
     #Task#: {item}\n#Specific task#:",
    "If the problem stated here can be solved with a few simple thinking steps, rewrite it so that multiple step reasoning \
     becomes explicitly necessary. The result must remain solvable and self contained for a human reader.\n\
     #Problem#: {item}\n#Problem that needs several steps#:",
    "Draw inspiration from the prompt supplied and create a brand new prompt which belongs to the same domain but is even \
     rarer. Its length and difficulty should be similar to the supplied prompt, and it must be reasonable to answer.\n\
     #Supplied prompt#: {item}\n#Created prompt#:",
];

/// Tasks made from a piece of code.
pub const CODE: [&str; 2] = [
    "You are exceptionally skilled at crafting high quality programming problems and offering precise solutions. Gain \
     inspiration from the random code snippet that follows and create one self contained problem, then solve it.\n\n\
     Code snippet for inspiration:\n```\n{code}\n```\n\nGuidelines: the section [Problem Description] must be complete and \
     understandable without the snippet, and the section [Solution] must offer a comprehensive and correct solution.",
    "Study the fragment of source code printed below and invent a realistic exercise that a working engineer could meet in \
     the same code base. Give the exercise a title, a statement with inputs and outputs, and a reference implementation \
     with tests.\n\nFragment:\n```\n{code}\n```\n\nReturn three parts in this order: TITLE, STATEMENT, REFERENCE.",
];

/// A passage of about 1.5 KB, then a request to write from it.
pub const CONTEXT: [&str; 2] = [
    "Here is an extract from a web page:\n\n{context}\n\nWrite a long and very detailed textbook unit in the style of a \
     course for college students, related to the extract above, within a new chapter. Be rigorous, engage the reader with a \
     conversational tone, and do not include a title, an introduction or any image reference. Start writing right away.",
    "Read the following source document with care.\n\n{context}\n\nCompose an encyclopedic article for curious adults that \
     explains the ideas touched upon in the source document, going well beyond it. Define each technical term at first use, \
     give two historical anecdotes, and end with exercises of increasing difficulty together with their solutions.",
];

/// Suffixes of seventeen words.
pub const SUFFIX: [&str; 3] = [
    "Reason step by step in full detail, then put your final answer on the last line after ANSWER.",
    "Explain every stage of your thinking before concluding, and wrap the end result inside double square brackets please now.",
    "First list what is known, next derive each consequence carefully, finally state the outcome following the word RESULT.",
];

/// The scaffold of an agent.
pub const SCAFFOLD: [&str; 2] = [
    "You are an autonomous research worker operating inside a sandbox with a shell, a browser and a notebook. At every turn \
     emit exactly one JSON object with the fields thought, tool and arguments; never emit prose outside that object. Plan \
     before acting, record each observation verbatim, retry a failed call at most twice, and call the finish tool with a \
     self contained report once the objective has been met or proven impossible.",
    "This is the controller prompt of a multi step solver. Decompose the objective into a numbered agenda, execute the agenda \
     item by item through the available functions, verify each partial product against the objective, and keep a running \
     ledger of facts established so far. Output must follow the grammar STEP, CALL, CHECK, LEDGER in that order on every \
     turn until the agenda is exhausted.",
];

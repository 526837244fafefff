//! Codes that other crates of LICEN say: `compute` (05nn, 08nn), `storage` (06nn), `custodian` (071n).
//! They are explained here because people look them up with the same command.

use crate::session::code::Code;

const fn code(number: u16, title: &'static str, text: &'static str) -> Code {
    Code { number, title, text }
}

/// Ascending.
pub const ELSEWHERE: &[Code] = &[
    code(
        501,
        "the data set is empty",
        "Training needs at least one row. Check the file given to `licen-compute`; in a job this means the owner published nothing to train on.",
    ),
    code(
        502,
        "a row is not JSON",
        "Every line must be one JSON object. The message names line and column; fix that line.",
    ),
    code(
        503,
        "a row is not UTF-8",
        "The message names line and column. Convert the file, for example with `iconv -t utf-8`.",
    ),
    code(504, "a row is too long", "The message names the line, its length and the limit. Split the row."),
    code(
        505,
        "a row has no shape the trainer knows",
        "Rows are {\"text\"}, {\"prompt\", \"completion\"}, {\"instruction\", \"input\", \"output\"} or {\"messages\"}. The message names the line.",
    ),
    code(
        506,
        "a row is a preference pair",
        "Preference rows (chosen, rejected) are for another kind of training, which is not built. Publish the chosen texts alone.",
    ),
    code(
        507,
        "no token is left to learn",
        "Every target is masked or was cut off. Raise max_seq_length or look at the rows.",
    ),
    code(
        508,
        "the chat template does not keep prefixes",
        "A conversation must render so that adding a message only appends. Use another base model or plain text rows.",
    ),
    code(
        509,
        "a token is outside the model's vocabulary",
        "tokenizer.json and config.json do not belong together. Add the base model again from one release.",
    ),
    code(510, "a token file was refused", "The file is damaged or of another version. Make it again."),
    code(
        520,
        "the training settings are not one JSON object",
        "`--config` takes one JSON object, for example {\"lora_r\": 8}.",
    ),
    code(
        521,
        "a training setting is unknown",
        "Unknown names are refused so that a typing error cannot train something else. `licen-compute train --help` lists every setting.",
    ),
    code(
        522,
        "a training setting has a value outside its range",
        "The message names the setting and what it takes.",
    ),
    code(
        523,
        "a training setting asks for something that is not built",
        "The message names it. Leave it out.",
    ),
    code(
        530,
        "the base model's config.json was refused",
        "A field is missing or out of range; the message names it.",
    ),
    code(
        531,
        "the base model's architecture is not supported",
        "Llama, Qwen2, Qwen3 and SmolLM decoders are.",
    ),
    code(
        532,
        "weights were refused",
        "A tensor is missing or has another shape or type than config.json says. Download the model again.",
    ),
    code(
        533,
        "the tokenizer was refused",
        "tokenizer.json is damaged or of a kind that is not supported; the message says which.",
    ),
    code(
        534,
        "the chat template was refused",
        "It uses something the renderer does not have; the message names it.",
    ),
    code(
        535,
        "the adapter was refused",
        "adapter_config.json and the weights do not fit each other or the base model.",
    ),
    code(
        536,
        "training needs more memory than it may use",
        "Model, max_seq_length, lora_r and threads decide how much; it is computed before anything is loaded. The limit is `maxMemoryBytes` of compute, by default what its machine has.",
    ),
    code(
        540,
        "training diverged",
        "The loss stopped being a number. Lower learning_rate. In a job, everything paid comes back.",
    ),
    code(
        550,
        "compute could not read or write a file",
        "The message names the file. Check that it exists and that the disk is not full.",
    ),
    code(551, "the output exists already", "Nothing is overwritten: give a new directory."),
    code(
        552,
        "compute's command line was not understood",
        "`licen-compute COMMAND --help` shows the arguments with examples.",
    ),
    code(
        601,
        "an empty file has no file root",
        "0G has no root for a file without bytes. Give a file with at least one byte.",
    ),
    code(
        602,
        "the bytes have another file root",
        "What was uploaded is not what the root names; nothing was kept. Compute the root again with `licen storage root`.",
    ),
    code(
        603,
        "storage has no such blob",
        "No blob has this file root on this node. Check the root, or `node` in `licen config`.",
    ),
    code(604, "the blob is too large", "The message names size and limit."),
    code(
        605,
        "a stored blob is damaged",
        "The disk of the storage changed bytes. They are never handed out as good; somebody who has the blob must upload it again.",
    ),
    code(
        606,
        "the upload continues elsewhere",
        "Part of the blob is there already. The client goes on by itself; try again if it did not.",
    ),
    code(607, "another upload of this blob is running", "Wait for it, or try again in a minute."),
    code(
        608,
        "storage did not understand the request",
        "Client and node are of different versions, or something in between changed the request.",
    ),
    code(
        609,
        "no space is left on the device",
        "Free space where the message says, then run the same command again. Nothing half-written is left behind.",
    ),
    code(
        610,
        "storage could not read or write a file",
        "The message names the file. Check that the directory exists and may be written.",
    ),
    code(
        611,
        "storage cannot be reached",
        "The node is down or its address is wrong: `node` in `licen config`.",
    ),
    code(612, "storage took too long", "Try again: uploads and downloads resume."),
    code(
        613,
        "storage served other bytes than asked for",
        "The bytes do not hash to the root; they were thrown away. Use another node, and tell the operator of this one.",
    ),
    code(617, "too many uploads are open", "Try again in a minute."),
    code(
        618,
        "the range is outside the blob",
        "Client and node disagree about the size of the blob; try again.",
    ),
    code(619, "storage refused the request", "The message repeats the node's own reason and its code."),
    code(
        620,
        "the address does not speak the blob protocol",
        "Something else answers at `node`: check it in `licen config`.",
    ),
    code(
        710,
        "a custodian denied a verdict or a release",
        "A custodian says no more than this to compute, on purpose; its own audit log has the reason. The job fails or expires and everything paid comes back.",
    ),
    code(
        711,
        "a custodian did not understand the request",
        "The body is not what the endpoint takes; client and custodian may be of different versions.",
    ),
    code(712, "a custodian had too many requests", "Wait a minute, then try again."),
    code(
        713,
        "a custodian cannot decide now",
        "Its chain or its records are out of reach. The same request may succeed later.",
    ),
    code(
        714,
        "the chain does not say so yet at the custodian's depth",
        "Custodians believe only blocks with enough blocks on top. Try again in a few seconds.",
    ),
    code(715, "a custodian refused", "The message has the reason, which is public."),
    code(
        716,
        "a custodian has no such thing",
        "It never held this manifest or result, or its retention is over. Another custodian of the set may have it.",
    ),
    code(
        718,
        "a custodian has called the attempt silent",
        "It heard nothing of compute for too long and takes nothing of this attempt any more. The job is restarted, failed or expires; nothing is paid for the attempt.",
    ),
    code(
        801,
        "compute's configuration was refused",
        "The message names the file and the key. Unknown keys are refused.",
    ),
    code(
        802,
        "compute cannot listen on its address",
        "Choose another `listen` address, or end the program that uses it.",
    ),
    code(803, "compute's working directory is not usable", "Check that `workDir` exists and may be written."),
    code(
        804,
        "compute cannot be sandboxed",
        "The node and its trainer confine themselves by Landlock (Linux 6.7 or later, rules for TCP included) and seccomp, and do not run without. `licen-compute serve --no-sandbox` goes without; /v1/info and the log then say so.",
    ),
    code(
        810,
        "compute refused the dispatch",
        "The policy and the job sent to it contradict each other or are for another node. They must be exactly as the chain emitted them.",
    ),
    code(
        812,
        "compute does not know this attempt",
        "It was never dispatched to this compute, or compute was started anew: its keys died with it.",
    ),
    code(
        813,
        "compute has too many attempts waiting",
        "Try again later. The job waits on chain until its start deadline.",
    ),
    code(
        814,
        "the order to stop is not the requester's",
        "Only the wallet that requested the job can stop it: --wallet FILE. Contract wallets cannot order a stop.",
    ),
    code(
        815,
        "this compute gives no quotes",
        "Request without a provider, or set `providerId`, `quoteKeyFile` and [[prices]] on compute.",
    ),
    code(816, "compute did not understand the request", "Client and compute may be of different versions."),
    code(817, "compute could not sign", "A key of compute failed. Start it anew."),
    code(
        818,
        "compute does not offer this job",
        "It has no price for this base model and token, or it would refuse to train the job; the message says which. Nothing was paid.",
    ),
];

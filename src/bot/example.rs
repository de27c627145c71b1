//! A policy for each side, as `earnest help bot` shows them.

/// Both sides in one file; most people keep one of them.
pub const EXAMPLE: &str = r##"# A bot. Lines that begin with # are left out. Paths begin beside this file.

name = "labels"

# As somebody who pays. Leave the whole section away to only work.
[requester]
gig = "gig.toml"          # as for `earnest post`, with slots = 1; {{field}} stands for a field of the line
queue = "queue.jsonl"     # one JSON object a line, each with an "id"; "-" is stdin; leave it away for one gig
attach = true             # the line goes to whoever is awarded, as item.json
choose = "cheapest"       # first, cheapest or trusted (whoever did most for you)
wait = "5s"               # for other bids
at_once = 8               # gigs and jobs that are not over
per_worker = 4            # of these with one worker; a newcomer has one
tries = 3                 # gigs for one item, and deliveries of one job
accept = "checks"         # checks: the gig's speak; inspected: whatever is as it was signed;
                          # command: verify = ["PROGRAM"] reads it first (not in mode sealed)
#total = "50000sat"       # all that a bot of this name ever costs

# As somebody who works.
[worker]
query = "#labels price>=1000"
price = "100%"            # of what is offered; or "2000sat", or "5sat/KiB" of input
at_once = 2
command = ["./label", "--fast"]
stdin = "job"             # the job as JSON; input: the first input file
time = "5min"
memory = "1GiB"
disk = "256MiB"
tries = 2

# Told of what happens, at least once: a program, or a server on this machine.
[[hook]]
on = ["cheated", "approval-asked"]
run = ["./tell-me"]
time = "10s"
"##;

# SPDX-License-Identifier: MIT
"""Wordings of wishes: one template a line, written for this project.

[a|b|] is one of, {A} and {B} are whom it is about, {is:A} agrees with {A}, and
{adj} and the like come from LISTS.  A line is the unit that evaluation holds out.
"""

from __future__ import annotations

LISTS = {
    "adj": "fast|quick|responsive|snappy|smooth|healthy|happy|fluid|agile|usable",
    "bad": "slow|sluggish|laggy|stuck|starved|choppy|unresponsive|jerky",
    "pls": "please |please, |kindly |||||||",
    "i": "i want|i need|i would like|we need|we want|i'd like|the team wants",
    "sure": "make sure|ensure|see to it|take care|be sure|see|check",
    "when": " today| now| for now| tonight| this week| until six| during the sale"
    "| at the moment| right now| while we are live| this afternoon|||||||||||||",
    "keepv": "keep|make|have|leave",
}
NOVEL = {  # vocabulary of the novel split, never seen in training
    "adj": "zippy|brisk|lively|nimble|crisp|swift",
    "bad": "dawdling|wobbly|clogged|stalling|gasping",
    "pls": "would you |be so good and |go ahead and ",
    "i": "my boss demands|customers expect|our users ask|everybody hopes",
    "sure": "guarantee|double check|promise|arrange",
    "when": " before lunch| during the meeting| over the weekend| all evening",
    "keepv": "render|conserve|sustain",
}

FIRST = """
{pls}{keepv} {A} {adj}{when}
{pls}keep {A} [running |]{adj} and [smooth|well fed|in good shape]
{A} must [stay|be|remain|feel|run] {adj}{when}
{A} should [stay|be|remain|feel|run] {adj}{when}
{A} {has:A} to [stay|be|remain|feel|run] {adj}{when}
{A} {needs:A} to [stay|be|remain] {adj}{when}
{i} {A} to [stay|be|remain] {adj}{when}
{i} {A} {adj}{when}
{sure} [that |]{A} {is:A} {adj}{when}
{sure} [that |]{A} {stays:A} {adj}{when}
{pls}protect {A}{when}
{pls}[shield|guard|defend] {A}[| from the others| from the neighbours| from everything else]
{A} {comes:A} first{when}
{A} first
first {A}
{A} {goes:A} first{when}
{A} {is:A} [important|what matters|the important part|important to us]{when}
{A} {matters:A}[| a lot| to us| to me| here]{when}
{A} {matters:A} [most|more than the others]{when}
{A} {has:A} priority{when}
{pls}[give|grant] {A} priority{when}
{pls}give {A} [what {it:A} {needs:A}|all {it:A} {needs:A}|room|enough room]
{pls}prioriti[s|z]e {A}{when}
{pls}[favour|favor|prefer] {A}{when}
{pls}finish {A}[| first| as soon as possible| soon| quickly]{when}
get {A} [done|finished|through]{when}
{A} should [finish|be done|be ready|complete] [soon|quickly|first|as soon as possible]
{A} {is:A} [urgent|in a hurry|pressing|due soon|on a deadline]{when}
we are waiting for {A}
{pls}hurry up with {A}
{pls}speed up {A}{when}
{pls}do not slow [down |]{A}{when}
{pls}don't slow {A} down{when}
{pls}do not let {A} [wait|suffer|starve|lag|get {bad}]{when}
don't let anything [slow down|disturb|get in the way of|hold up] {A}
{A} must not [wait|suffer|starve|lag|get {bad}]{when}
{A} should not [wait|suffer|starve|lag|get {bad}|be {bad}]{when}
{A} [cannot|can't|can not] wait{when}
{A} may not [wait|suffer|starve|lag]
{A} [cannot|can't] be {bad}{when}
nobody likes it when {A} {is:A} {bad}
people complain when {A} {is:A} {bad}
users notice when {A} {gets:A} {bad}
what matters [most |]is {A}
[the|my|our] [priority|focus|main thing|main concern] is {A}{when}
[look after|take care of|mind|watch over|care for] {A}{when}
{i} [smooth|good|quick] [answers|replies|reactions] from {A}
{pls}help {A}{when}
{pls}put {A} first{when}
{pls}serve {A} first{when}
{A} before [everything else|all else|the others|anything else]
nothing may [slow|disturb|delay|hamper] {A}
{A} {deserves:A} [the best|priority|to be fast]
i am [working in|looking at|using|busy with] {A}{when}
[customers|users|people|guests|visitors|clients] [depend on|rely on|need|are waiting for] {A}{when}
the faster {A} {runs:A}, the better
{A} [is not to|must never|should never] be [delayed|slowed down|held up]
low latency for {A}
{pls}[minimi[s|z]e|reduce|lower] the latency of {A}
quick [responses|answers] for {A}{when}
{A} {is:A} more [important|urgent] than [anything else|the rest|everything else]
""".strip().splitlines()

FIRST_HARD = """
{keepv} {A} {adj} at all costs
{keepv} {A} {adj}, whatever it takes
{A} must [stay|be] {adj} [at all costs|no matter what|whatever it takes|at any price]
{A} must never [stutter|lag|wait|hang|drop a beat|be {bad}]
{A} must never [stutter|lag|wait|hang], whatever it takes
above all[,|] {keepv} {A} {adj}
above all[,|] protect {A}
above all {A}
protect {A} [at all costs|no matter what|whatever it takes|at any price]
{A} {has:A} absolute priority
{A} {has:A} [the highest|top|the top|highest] priority{when}
give {A} [absolute|the highest|top|full] priority
{A} {is:A} [absolutely |]critical[| to us| to safety| for production]
{A} {is:A} [life and death|vital|mission critical|a matter of life and death]
do everything [you can|possible] for {A}
whatever happens, {A} [must|has to] [stay|be] {adj}
no matter what, {keepv} {A} {adj}
under no circumstances may {A} [wait|be {bad}|lag|suffer]
{A} [comes|goes] before everything, [always|without exception|no matter what]
not the slightest delay for {A}
{A} absolutely [must|has to] [stay|be] {adj}
{A} [cannot|can't] be {bad} [ever|under any circumstances|not even for a moment]
use all means to [protect|help|speed up] {A}
give {A} everything [you have|there is|the machine has]
""".strip().splitlines()

LATER = """
{A} can wait{when}
{A} may wait{when}
{A} can [take|have] [its|their|some|more|a lot of] time
{A} may take longer{when}
{A} can be [slow|slower|late|delayed|postponed|done later]{when}
{A} may be [slow|slower|late|delayed|postponed|done later]{when}
{A} should [wait|yield|step back|stand back|give way|make room]{when}
{A} has to [wait|yield|step back|give way|make room]{when}
{A} {is:A} [background|in the background|background work|just background noise]
{A} {is:A} not [important|urgent|pressing|in a hurry|critical|needed soon]{when}
{A} {is:A} [unimportant|secondary|less important|of little importance|low priority]{when}
{A} {isnt:A} [important|urgent|pressing|in a hurry|critical]{when}
{A} {does:A} not matter[| much| now| today]
{A} {doesnt:A} matter[| much| now| today]
{A} {does:A} not have to be {adj}
{A} need not be {adj}{when}
{A} {doesnt:A} need to be {adj}{when}
{A} {has:A} [no hurry|low priority|little priority|no priority|plenty of time|all the time in the world]
no [hurry|rush|haste] with {A}
there is no [hurry|rush|haste|need to rush] with {A}
[do not|don't] [hurry|worry about|bother about|rush|favour|prioritize] {A}
{pls}slow [down |]{A}{when}
{pls}slow {A} down{when}
{pls}[throttle|brake|restrain|calm|hold back|tame|quiet] {A}{when}
{pls}let {A} wait{when}
{pls}make {A} [wait|yield|step aside|give way]{when}
{pls}[delay|postpone|defer] {A}{when}
{A} {comes:A} [last|later|second|at the end]
{A} last
{A} later
{A} {goes:A} [last|later|second]{when}
{pls}[run|do|treat|handle] {A} [in the background|as background work|when there is time|on the side]
it is [fine|ok|okay|all right] if {A} {is:A} [slow|late|delayed|{bad}]
it is [fine|ok|okay|all right] to [slow down|delay|hold back] {A}
i [do not|don't] care [about|if you slow down|how slow] {A}
i do not mind [waiting for {A}|if {A} {takes:A} longer|a slow {A}]
nobody [is waiting for|needs|looks at|cares about|is using] {A}{when}
we can do without {A} [for a while|for now|today]
{A} can run [at night|overnight|tomorrow|later|whenever]
{A} can [finish|be done|complete] [tomorrow|later|next week|whenever]
{A} [does not need|doesn't need|needs no] priority
{A} should [stay out of the way|keep out of the way|not disturb|not get in the way|stay back]
[do not|don't] let {A} [disturb|get in the way|hog the machine|take over|eat everything|slow the others]
{A} must not [disturb|get in the way|hog the machine|take over|slow the others down]
keep {A} [in the background|out of the way|low|small|modest|in check]
{A} {is:A} [too greedy|noisy|taking too much|eating too much|a nuisance]{when}
take [resources|time|power] [away |]from {A}
less for {A}
{A} [can|may|could] [lose|give up|do without] [some speed|a bit of speed|performance]
{pls}be [stingy|careful|sparing] with {A}
{A} {is:A} [nice to have|optional|a chore|housekeeping]
{A} at low priority
""".strip().splitlines()

LATER_HARD = """
{pls}pause {A}[| if need be| if necessary| if you must]{when}
{pls}[stop|freeze|halt|suspend|park] {A} [if need be|if necessary|if you must|when needed]
{A} may [stop|pause|stand still|starve|freeze|halt]{when}
{A} can [stop|pause|stand still|starve|freeze|halt][| entirely| completely]{when}
{A} can wait [forever|as long as it takes|until the end of time|for ever and ever]
{A} gets only [what is left over|the leftovers|scraps|the crumbs|idle time]
{pls}give {A} only [what is left over|the leftovers|scraps|the crumbs|idle time]
{A} {has:A} the lowest priority
{pls}give {A} the lowest priority{when}
[sacrifice|starve] {A}[| if need be| if necessary| when needed]
run {A} only when [the machine is idle|nothing else runs|nobody needs the machine]
{A} should run only when [the machine is idle|nothing else runs|nobody needs the machine]
{A} {is:A} [completely|totally|utterly] [unimportant|irrelevant|worthless]{when}
i [do not|don't] care at all [about|how slow] {A}
take everything [away |]from {A} [if need be|if necessary|you can]
{A} [does not|doesn't] matter [at all|in the least|one bit]
{pls}slow {A} down as much as [you like|possible|you can|needed]
{pls}squeeze {A} [as hard as you can|to the minimum|down to nothing]
{A} may be [stopped|paused|frozen|suspended|starved]{when}
it is [fine|ok|okay] to [stop|pause|freeze|starve] {A}
""".strip().splitlines()

NEVER = """
{pls}never touch {A}
{pls}[do not|don't] touch {A}{when}
{pls}leave {A} alone{when}
{pls}leave {A} as {it:A} {is:A}
{pls}[do not|don't] [change|alter|modify|adjust|tune] {A}{when}
{pls}[do not|don't] change anything [about|for|on|at] {A}
{pls}never [change|alter|modify|adjust|tune|manage] {A}
hands off {A}
hands off of {A}{when}
keep your hands off {A}
{A} {is:A} [taboo|off limits|untouchable|none of your business|out of bounds]
{A} must [not|never] be [touched|changed|altered|tuned]
{A} should [not|never] be [touched|changed|altered|tuned]
{A} may [not|never] be [touched|changed|altered]
ignore {A}[| completely| entirely]
stay away from {A}
{pls}[exclude|exempt|omit|skip] {A}[| from everything| from tuning| from management]
[do not|don't] [mess|fiddle|meddle|interfere] with {A}
nothing about {A} may change
nobody touches {A}
no changes [to|for] {A}
{A} [stays|remains] as [it is|is]
[do not|don't] do anything to {A}
""".strip().splitlines()

PAIR = """
{A} {is:A} more [important|urgent] than {B}{when}
{A} {matters:A} more than {B}{when}
{B} {is:B} less [important|urgent] than {A}{when}
{B} {matters:B} less than {A}{when}
{pls}prefer {A} [over|to] {B}{when}
{pls}[favour|favor|prioriti[s|z]e] {A} over {B}{when}
{A} before {B}{when}
first {A}, then {B}
{A} first, {B} [last|later|second|after that]
{A} {comes:A} before {B}
{A} {goes:A} before {B}
{A} {takes:A} precedence over {B}
{A} {has:A} [priority|precedence] over {B}{when}
{B} [must|should|has to|can|may] [make room for|make way for|yield to|wait for|give way to|step aside for] {A}{when}
let {B} [wait for|make room for|yield to|step aside for] {A}
[slow down|throttle|hold back|delay] {B} [for|in favour of|to help|so that] {A}
[slow down|throttle|hold back|delay] {B} [if|when|as soon as] {A} [suffers|needs it|gets {bad}|is {bad}]
rather slow [down |]{B} than {A}
[never|do not|don't] let {B} [slow down|disturb|get in the way of|hurt|starve|delay|choke] {A}
{B} must [not|never] [slow down|disturb|get in the way of|hurt|starve|delay] {A}
{B} should not [slow down|disturb|get in the way of|hurt|starve|delay] {A}
protect {A} [from|against] {B}{when}
[shield|guard|defend] {A} [from|against] {B}
{A} must not [wait|suffer|starve] because of {B}
{A} should not suffer [from|because of] {B}
take from {B} and give to {A}
take from {B} what {A} {needs:A}
give {A} what {B} can spare
{A} at the expense of {B}
{keepv} {A} {adj} at the expense of {B}
{keepv} {A} {adj} even if {B} [suffers|waits|takes longer|gets slow]
{keepv} {A} {adj} while {B} {runs:B}
{keepv} {A} {adj}, {B} can wait
{keepv} {A} {adj} [rather than|instead of|and not] {B}
{A} [rather than|instead of|not] {B}
not {B} but {A} {comes:A} first
it is {A} that {matters:A}, not {B}
{A} {is:A} what counts, {B} {is:B} not
finish {A}, {B} can wait
finish {A} before {B}
i care about {A}, not about {B}
i do not care about {B}, only about {A}
{B} can wait until {A} {is:A} [done|finished|ready|through]
{B} [waits|wait] until {A} {is:A} [done|finished|ready|through]
as long as {A} {runs:A}, {B} [waits|should wait|can wait]
when {A} and {B} compete, {A} wins
if [they|the two] [clash|compete], {A} beats {B}
{B} loses against {A}
stop {B} from [slowing down|disturbing|hurting|starving] {A}
{B} {is:B} [slowing down|disturbing|hurting|starving] {A}, [help|do something|stop that]
""".strip().splitlines()

MENTION = """
{A} moved to a new host last week
{A} {was:A} updated yesterday
we installed {A} in spring
{A} [belongs|was given] to the other team
{A} {has:A} a new logo
anna wrote {A}
{A} {is:A} written in rust
there {is:A} also {A}
the manual of {A} is in the wiki
{A} {was:A} restarted this morning
ask tom about {A}
we also have {A}
{A} {runs:A} here since may
{A} {is:A} version three now
the logs of {A} are on the other disk
i read about {A} in a magazine
""".strip().splitlines()

CHATTER = """
good morning
the coffee machine is broken
this machine has two disks
the sale starts at noon
it is a fast machine and has been slow to boot
thanks
i am back on monday
call me if something breaks
the office closes at six
we have guests today
this is the production host
be careful
be quick about it
keep up the good work
the weather is fine
the rack is in the basement
hello there
do what you think is best
here is what we want
listen
we talked about this yesterday
the first floor is being painted
the last backup tape is in the safe
as agreed
""".strip().splitlines()

FIX = "actually|actually no|no wait|no|wait|on second thought|correction|sorry|scratch that|i changed my mind|rather|hm|or better|||"
JOIN = ". |. |. |; |, |, but |, and | and |, while | - |. and |. but |, also |! |\n"

EVERYTHING = "everything|all programs|all workloads|every program|all of it|anything"
REST = "everything else|the rest|all the rest|the others|all others|anything else|all other programs|every other program|whatever else runs|the remaining ones"
EXCEPT = "{all} except {X}|{all} but {X}|{all} other than {X}|{all} apart from {X}|{all} save {X}|everything that is not {X}"

ROLE_NOUNS = {  # singular | plural; '#' marks plural
    "desktop": "the desktop|the window manager|the graphical session|#desktop programs|the screen",
    "browser": "the browser|the web browser|#browsers|#web browsers|#open tabs",
    "editor": "the editor|the ide|the office suite|#editors|#text editors|#documents",
    "terminal": "the terminal|the shell|the console|#terminals|#shells",
    "game": "the game|#games|#video games|#anything people play",
    "media": "the player|the music|the video call|the sound|#media players|#calls|#audio programs|playback",
    "web": "the web server|the website|the site|#web servers|#websites|#web services|whatever serves web pages|#sites",
    "database": "the database|the db|#databases|#all databases|#database servers|anything that stores tables",
    "queue": "the cache|the broker|the message queue|#caches|#brokers|#queues|#message queues",
    "proxy": "the proxy|the load balancer|the gateway|#proxies|#load balancers",
    "mail": "the mail server|mail|the mail|email|#mail servers|mail delivery",
    "files": "the file server|the nas|file sharing|#file servers|#shares|network storage",
    "network": "the vpn|the dns server|networking|#network services|#name servers",
    "control": "home automation|the controller|the smart home|#controllers|factory control|the automation",
    "monitor": "monitoring|the monitoring|the metrics|#dashboards|#metrics collectors",
    "vision": "the camera|the vision model|#cameras|camera analysis|#vision models|object detection",
    "container": "the container engine|#containers|#virtual machines|#vms|the hypervisor",
    "system": "the system services|the init system|#system daemons|#login services",
    "build": "the build|the compiler|compiling|#builds|#compilers|#compile jobs|anything that compiles|whatever compiles|the compilation|#tests",
    "compute": "the simulation|number crunching|#simulations|#calculations|the calculation|scientific computing",
    "learn": "the training|machine learning|model training|#training jobs|#training runs|anything that trains models",
    "transcode": "the transcoder|transcoding|video encoding|#encoders|#transcoders|#render jobs|the rendering",
    "backup": "the backup|#backups|#all backups|#backup jobs|the nightly backup|whatever makes backups",
    "sync": "the sync|syncing|#downloads|#mirrors|#sync jobs|synchronization|file synchronization|#torrents",
    "update": "the update|#updates|#upgrades|package updates|the upgrade|#system updates",
    "index": "the indexer|indexing|search indexing|#indexers|log digestion",
    "scan": "the virus scanner|the scan|#scans|virus scanning|#virus scans|the antivirus",
}
TIME_NOUNS = {
    "interactive": "#interactive programs|#interactive things|what i am looking at|what i am using|the foreground|#the programs i work in|anything with a window|whatever is on screen|#foreground programs",
    "service": "#services|#the services|#server processes|#daemons|#all servers|#servers",
    "throughput": "#batch computations|#long computations|heavy computing|#heavy jobs|bulk computing",
    "deferrable": "#chores|housekeeping|#housekeeping jobs|#maintenance jobs|maintenance|deferrable work",
    "throughput deferrable": "#background jobs|background work|#batch jobs|batch work|#background tasks|#background processes|bulk work",
    "interactive service": "#the things people use|whatever people wait for|anything people notice|#user facing programs",
}
AROUND_NAME = "{n}|{n}|{n}|the {n}|the {n}|the {n}|my {n}|our {n}|the {n} service|the {n} job|the {n} process|the {n} server|the {n} workload|the {n} container|{n} jobs|the {n} app|the {n} program|the {n} task|the {n} unit".split(
    "|"
)
REASONS = "because customers complain|because it is late|as agreed|because of the sale|since people are watching|because the boss said so|to save power|as always".split(
    "|"
)

# More wordings for training only: words that the ones above use once or never.
MORE = {
    "FIRST": """
{A} {has:A} to be finished [first|today|soon|now|before noon]
we need {A} [finished|done|ready|complete][| by five| today| soon]
finish {A} before [anything else|everything else|all else]
finish up {A}[| now| today]
finish [off |]{A} [please|as early as you can|right away]
complete {A}[| first| now| quickly]
[push|drive|bring|move] {A} forward
[boost|accelerate|support|strengthen|favour] {A}
{A} [needs|need] [attention|power|speed|all the help it can get]
{A} [is|are] [top of the list|number one|the star today|our bread and butter|what pays the bills]
{A} [pays the bills|earns our money|is what customers see]
treat {A} [well|with care|like a king]
be [kind|good|nice] to {A}
[bring|put] {A} to the front
{A} beats [everything|everything else|all else]
only {A} [matters|counts|is important]
{A} counts
[hold|keep] {A} [going|alive|running]
{A} [shall|ought to] [run well|run smoothly|be fast|not be slow]
make {A} [fly|run well|finish soon|ready as soon as possible]
[speed|speed up|hurry along] {A}
[our|the] [deadline|release] depends on {A}
without {A} we are [blind|lost|stuck]
""".strip().splitlines(),
    "FIRST_HARD": """
{A} {is:A} [production critical|top priority|sacred|our lifeline]
{A} [beats|outranks] everything [always|no matter what]
keep {A} alive [at any price|whatever happens|at all costs]
nothing [ever|at all] may slow {A} down
{A} must run without [any |the slightest ]delay, ever
{A} first, whatever the cost
""".strip().splitlines(),
    "LATER": """
{A} {is:A} [a toy|just a test|only a test system|an experiment|a hobby|nothing special]
{A} {is:A} [patient|not for today|for later|for the night|second class]
{A} can [idle|rest|sleep|slow down|crawl|lag|linger]
{A} [is|are] welcome to wait
{A} [takes|take] a back seat
put {A} [last|at the end|at the back|second]
[move|push|send] {A} to the [background|back|end of the queue]
{A} when there is [time|room|nothing better to do]
[take it easy|go slow|go easy] with {A}
[no|little] [need|reason] to [help|favour|hurry|speed up] {A}
{A} {does:A} not need to [finish soon|finish today|hurry|be quick]
{A} [is|are] not what [counts|we care about|matters]
we can [live|do] without {A} [being fast|for now|for a while]
{A} may [finish|end|complete] [later|whenever|tomorrow|next week]
{A} should not [bother|disturb|hinder|block] [anybody|anyone|others|us]
{A} used to be important but not any more
spare nothing for {A}
""".strip().splitlines(),
    "LATER_HARD": """
{A} may starve[| to death| for all i care]
{A} can be [stopped|paused|halted|suspended|parked][| at any time| whenever needed]
[park|suspend|stop|halt] {A} whenever somebody else needs the machine
{A} only [gets|get] spare [cycles|capacity|time]
{A} [gets|get] nothing but [leftovers|crumbs|spare cycles]
drop {A}[| if need be| under load]
{A} at the very bottom
""".strip().splitlines(),
    "NEVER": """
[spare|skip] {A}, do not [touch|change] {it:A}
{A} [is|are] fine as {it:A} {is:A}, do not [touch|change|modify] {it:A}
do not lay a finger on {A}
keep away from {A}
{A} shall be left alone
leave {A} [untouched|unchanged|in peace|out of this]
do not [manage|tune|regulate|control] {A}
""".strip().splitlines(),
    "PAIR": """
finish {A} and let {B} wait
finish {A} [first|now], {B} [can|may] [wait|be late|take longer]
complete {A}, {B} later
{A} now, {B} later
{B} after {A}
{A} ahead of {B}
{A} wins over {B}
{A} beats {B}
if {A} and {B} [fight|compete|clash], {A} should win
[neither too fast|go slow] with {B}, {A} [needs|need] the machine
{A} {is:A} the important one, {B} {is:B} not
give {A} the [power|time|room] that {B} [wastes|uses|takes]
[when|if|while] {A} [is|are] busy, {B} [must|should|has to] [step back|pause|wait|slow down]
{B} only after {A}
{A} over {B}
{A} at full speed, {B} [at half|slowly|in the background]
""".strip().splitlines(),
    "MENTION": """
{A} {was:A} bought in may
the owner of {A} is on holiday
{A} [lives|live] in the basement
{A} [has|have] a nice interface
""".strip().splitlines(),
}

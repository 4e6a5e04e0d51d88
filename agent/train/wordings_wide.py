# SPDX-License-Identifier: MIT
"""More wordings of wishes, for training and validation only; notation of wordings.py.

The words here are wider than the held-out templates' on purpose: many verbs in few
frames, so that what is learned is the frame and the meaning, not the verb.
"""

from __future__ import annotations

LISTS = {  # instead of wordings.LISTS, while training
    "adj": "fast|quick|responsive|snappy|smooth|healthy|happy|fluid|agile|usable|speedy|rapid"
    "|prompt|reactive|lag free|strong|stable|steady|on time|in shape|at full speed|alive",
    "bad": "slow|sluggish|laggy|stuck|starved|choppy|unresponsive|jerky|delayed|hanging|frozen"
    "|lagging|late|blocked|crawling|held up|stuttering|jittery|overloaded|starving|behind",
    "pls": "please |please, |kindly |could you |can you |you should |we should |let us |just |do "
    "|try to |remember to |i ask you to |you must |always ||||||||",
    "i": "i want|i need|i would like|we need|we want|i'd like|the team wants|everyone wants"
    "|i expect|the company needs|my colleagues want|the boss wants|we would love|they need",
    "sure": "make sure|ensure|see to it|take care|be sure|see|check|it is your job to see"
    "|make certain|i must be sure|be careful|it must be so",
    "when": " today| now| for now| tonight| this week| until six| during the sale"
    "| at the moment| right now| while we are live| this afternoon| these days| from now on"
    "| at all times| during office hours| this morning| until further notice| until friday"
    "| as of now| for the time being| all day| during the day| in the daytime| at night"
    "|||||||||||||||||||||||",
    "keepv": "keep|make|have|leave|hold|maintain|get",
    "vprot": "protect|shield|guard|defend|safeguard|secure|shelter|cover|preserve|look after"
    "|watch over|take care of|care for|back|support|assist|help|aid|nurse|save",
    "vfav": "prioritize|prefer|favour|favor|privilege|promote|boost|accelerate|speed up|hasten"
    "|expedite|advance|strengthen|benefit|reward|pamper|spoil|hurry|quicken|put first",
    "vslow": "slow down|throttle|brake|restrain|limit|curb|restrict|reduce|hold back|rein in"
    "|tame|calm down|dampen|weaken|cap|turn down|dial back|scale back|deprioritize|demote"
    "|put off|delay|postpone|defer|shelve|push back|hold off|downgrade|relegate|ration|neglect"
    "|constrain|bridle|penalize|hinder",
    "vstop": "pause|stop|halt|freeze|suspend|park|interrupt|cut off|shut off|sacrifice|starve"
    "|choke|switch off|abandon|drop|put on hold|put on ice|bring to a standstill|stall",
    "vstopped": "paused|stopped|halted|frozen|suspended|parked|interrupted|cut off|shut off"
    "|sacrificed|starved|choked|switched off|abandoned|dropped|put on hold|put on ice",
    "vtouch": "touch|change|alter|modify|adjust|tune|edit|tweak|reconfigure|manipulate|manage"
    "|meddle with|mess with|tamper with|fiddle with|interfere with|regulate|influence|alter"
    "|lay hands on|intervene in|control|rearrange|reset|move",
    "touched": "touched|changed|altered|modified|adjusted|tuned|edited|tweaked|reconfigured"
    "|manipulated|managed|meddled with|tampered with|regulated|influenced|controlled",
    "vhurt": "slow down|disturb|get in the way of|hurt|starve|delay|choke|block|hinder|impede"
    "|hamper|obstruct|bother|harm|disrupt|interrupt|hold up|impair|affect|crowd out|annoy"
    "|compete with|steal from|take from|weigh on|burden|endanger|degrade|trouble|squeeze",
    "hurting": "slowing down|disturbing|getting in the way of|hurting|starving|delaying|choking"
    "|blocking|hindering|impeding|hampering|obstructing|bothering|harming|disrupting|crowding out",
    "vwait": "wait|yield|step back|stand back|give way|make room|step aside|stand by|hang back"
    "|hold on|queue up|back off|slow down|take a break|sit back|stay behind|retreat|lie low",
    "imp": "important|significant|valuable|precious|central|relevant|a priority|dear to us"
    "|the main thing|the point|number one|what counts|a big deal|our focus|high on the list"
    "|of importance|the favourite|our concern|what we live from|decisive|special|urgent",
    "crit": "critical|vital|crucial|sacred|indispensable|paramount|of the utmost importance"
    "|non negotiable|absolutely essential|the most important thing of all|safety critical"
    "|business critical|more important than anything|our lifeline|a matter of survival",
    "minor": "minor|trivial|secondary|negligible|marginal|peripheral|of no consequence|dispensable"
    "|a side show|an afterthought|a luxury|boring|not essential|nothing urgent|low on the list"
    "|noncritical|in no rush|non urgent|unhurried|a trifle|small fry|no priority|not pressing"
    "|not a concern|only a hobby|less relevant|insignificant|not worth a hurry|patient",
    "cost": "at all costs|no matter what|whatever it takes|at any price|whatever happens|come what"
    " may|by all means|under all circumstances|without compromise|in any case|without fail"
    "|with everything you have|unconditionally|whatever the cost|even if all else stops",
    "soon": "soon|quickly|first|as soon as possible|today|right away|without delay|in time"
    "|promptly|before noon|by five|at once|immediately|shortly|early|before the others",
    "later": "later|tomorrow|next week|whenever|some other time|at leisure|overnight|eventually"
    "|in due course|afterwards|next month|when there is time|after hours|in its own time",
    "rest": "the others|everything else|the rest|other programs|anything else|its neighbours",
    "if": "if need be|if necessary|if you must|when needed|when it gets tight|under load"
    "|as soon as it gets tight|if things get slow|when resources are short|in an emergency|",
}

CONDITIONS = (  # which say when, not who
    "when the machine is busy|under load|when it gets tight|if the disk is slow|in the daytime"
    "|when memory runs short|as soon as the cpu is full|during working hours|under pressure"
    "|when things get slow|if there is a conflict|in case of doubt|while people are working"
    "|whenever there is trouble|if resources are scarce|at peak times|when the load goes up"
    "|on weekdays|after nine|while the shop is open|if anything suffers|when the disk gets busy"
    "|if it comes to that|until the evening|when everybody is here|as a rule|in general"
).split("|")

WIDE = {
    "FIRST": """
{pls}{vprot} {A}{when}
{pls}{vprot} {A}{when}
{pls}{vfav} {A}{when}
{pls}{vfav} {A}{when}
{pls}{vprot} {A} [from|against] {rest}
{i} {A} {adj}, [that is all|nothing more|ok]
{i} you to {vprot} {A}
{i} you to {vfav} {A}{when}
{sure} [that |]nothing [slows|disturbs|hurts|blocks|delays] {A}
{sure} [that |]{A} never {gets:A} {bad}
{sure} [that |]{A} {has:A} [enough|all it needs|what it takes|the upper hand]
{A} {is:A} {imp}{when}
{A} {is:A} {imp} [to us|to me|for us|here|for the company]
{A} {is:A} [really|very|quite|most|especially|particularly] {imp}
{A} [must|should|has to|needs to|ought to|shall] be {adj}{when}
{A} [must|should|may|can] not be {bad}{when}
{A} [must|should|may|shall] not [suffer|wait|starve|lag|fall behind|be disturbed|get stuck]{when}
{A} [must|should|has to|needs to|ought to] [be done|be finished|be ready|finish|end|be through] {soon}
{pls}[finish|complete|end|wrap up|get through with] {A} {soon}
{i} {A} [finished|done|completed|ready] {soon}
{A} {has:A} to [go|run|be served|be answered|get its turn] {soon}
[nothing|nobody|no one|no program] [may|should|must|shall|can] {vhurt} {A}{when}
[do not|don't|never] {vhurt} {A}{when}
[do not|don't|never] let {rest} {vhurt} {A}
keep {rest} from {hurting} {A}
{rest} [should|must] not {vhurt} {A}
[my|our|the] [heart|money|attention|work|future|reputation] [is|lies|hangs|depends] on {A}
{A} [gets|get] [the best seat|the first slice|what it asks for|the better part|more]
give {A} [more|the better share|preference|precedence|an advantage|a head start|extra power|air]
{A} [deserves|deserve|needs|need|wants|want|requires|require] [speed|care|room|priority|power|attention|preference]
[i|we|people|customers|users|all of us] [love|need|want|use|watch|value|depend on|live from] {A}{when}
[i am|we are|somebody is|users are|guests are|the team is] [using|watching|working with|waiting on|looking at|typing in|busy with|playing|reading] {A}{when}
[somebody|everybody|a customer|the boss|the public] [waits|is waiting] for {A}
[i|we] feel every delay [of|in] {A}
if {A} [is|gets] {bad}, [we lose money|people leave|i get angry|the phone rings|that is bad]
[it hurts|it is bad|we lose customers|it is a shame|i get nervous] when {A} {is:A} {bad}
the [speed|response time|latency|throughput|performance|health|well being] of {A} [matters|counts|is important]
{pls}[improve|raise|increase|optimi[s|z]e|watch] the [speed|performance|response time] of {A}
[faster|quicker|more speed for|more power to|more room for] {A}{when}
{A} [to the front|in front|on top|ahead|at the head of the line|before all others]
let {A} [go|run|pass|through|have its way] first
let {A} [run freely|have what it needs|go at full speed|have the machine|jump the queue]
think of {A} first
serve {A} [well|better than others|before {rest}]
it is [important|desirable|good|necessary|essential] that {A} {is:A} {adj}
[my|our] [wish|goal|aim|aim today|objective|request|only wish] is [a {adj} {A}|that {A} {is:A} {adj}]
a {adj} {A} is [what we need|what i want|the goal|what counts]
{A} {is:A} [what i need|what we need|what this machine is for|why this machine exists|the reason we have this box]
this [machine|box|server|host|computer] is [here |]for {A}
{A}, {A} and again {A}
only {A} [is important|is urgent|interests me|concerns us]
{A} [cannot|can't|must not] [afford to wait|be kept waiting|fall behind|run late|miss a beat]
{A} {is:A} [late|behind schedule|overdue|already late], [help|hurry|push it]
[time is short for|hurry with|get on with|press on with|step on it with] {A}
be [generous|quick|attentive|considerate] [to|with] {A}
there must be no [delay|lag|waiting|hiccup|interruption] [in|for|with] {A}
[treat|handle|see|regard|consider] {A} as [important|a priority|urgent|the main thing|number one]
[rank|place|put|set|move] {A} [above {rest}|at the top|first|in front|ahead of {rest}]
{A} above {rest}
{A} [outranks|beats|trumps|precedes] {rest}
{rest} [should|must|has to|can|may] not [come before|be preferred to|go before] {A}
""".strip().splitlines(),
    "FIRST_HARD": """
{pls}{vprot} {A} {cost}
{vfav} {A} {cost}
{cost}, {vprot} {A}
{cost}, {keepv} {A} {adj}
{A} [must|has to|needs to|should] [stay|be|remain|run] {adj} {cost}
{cost}, {A} [must|has to] be {adj}
{A} {is:A} {crit}
{A} {is:A} {crit}{when}
{A} must never [ever |]be {bad}
{A} must never [ever |][stop|wait|stutter|lag|hang|freeze|fail|pause|suffer]
never [ever |]let {A} [wait|stutter|lag|hang|suffer|be {bad}|stop]
{A} [always|absolutely|unconditionally] comes first
{A} [has|have] [absolute|unconditional|unlimited|the very highest|supreme] [priority|precedence]
{A} first, {cost}
{A} [gets|get] [everything|all there is|whatever it wants|the whole machine]{when}
give {A} [everything|all you have|the whole machine|all resources|every cycle]
{A} [is|are] worth any [price|sacrifice]
nothing [on earth |whatsoever |ever |]may {vhurt} {A}
not even for a second may {A} be {bad}
[lives|human lives|our existence|people's safety] depend[|s] on {A}
{A} [above all|over everything|before anything else, always|before all, without exception]
a {bad} {A} is [a disaster|a catastrophe|unacceptable|out of the question|not an option]
it is [absolutely |]unacceptable [that|when|if] {A} {is:A} {bad}
there is no excuse for a {bad} {A}
i will not [accept|tolerate|forgive] a {bad} {A}
[stop|pause|kill] [everything|all else|whatever you like|anything] [to help|for|before you slow|to save] {A}
all [power|resources|force|means] [to|for] {A}
[zero|no] [tolerance|compromise|compromises] [for delays in|with|on] {A}
{A} {is:A} the one thing that must [work|run|be {adj}] {cost}
[maximum|the highest possible|utmost|extreme] priority for {A}
{A} with the highest priority
whatever {A} {needs:A}, [give it|it gets it|let it have it]
""".strip().splitlines(),
    "LATER": """
{pls}{vslow} {A}{when}
{pls}{vslow} {A}{when}
{pls}{vslow} {A} [a bit|a little|somewhat|gently|if it helps|when others need the machine]
you [may|can|could|are free to|are allowed to] {vslow} {A}
{A} [can|may|should|could|must|has to|is to|will] {vwait}{when}
{A} [can|may|should|could] {vwait} [for now|if needed|a while|for a bit]
{pls}[let|have|make] {A} {vwait}{when}
{A} {is:A} {minor}{when}
{A} {is:A} [rather|quite|just|really|fairly|somewhat] {minor}
{A} {is:A} {minor} [to us|to me|for us|here]
{A} {isnt:A} {imp}{when}
{A} {is:A} not {imp}{when}
{A} {is:A} [hardly|scarcely|barely|no longer|not so|not very|not that] {imp}
{A} {has:A} [time|lots of time|no deadline|a lot of patience|until next week]
{A} can [be done|be finished|run|happen|continue|follow] {later}
[do|run|finish|handle|start|continue] {A} {later}
{A} {later}
{A} can come [last|later|at the end|after {rest}|second]
put {A} [behind {rest}|below {rest}|in second place|on the back burner|at the bottom|on the waiting list]
[do not|don't|never] let {A} {vhurt} {rest}
{A} [must|should|may|shall] not {vhurt} {rest}
keep {A} from {hurting} {rest}
{A} {is:A} {hurting} {rest}
[i|we|customers|users] [do not|don't] [need|miss|notice|use|watch|mind|care for] {A}{when}
[i|we] can [wait for|live without|spare|do without|forget about] {A}{when}
nobody [notices|minds|cares] [if|when] {A} {is:A} {bad}
[nobody|no one] [waits for|depends on|misses|asks for|is interested in] {A}{when}
it [does not matter|doesn't matter|makes no difference|is no problem|is not bad|is not a problem|hurts nobody] [if|when|that] {A} {is:A} {bad}
it is [fine|ok|okay|all right|no problem|acceptable|not bad] [if|when] {A} [waits|takes longer|lags|falls behind|{is:A} {bad}]
{A} [is|are] allowed to be {bad}
{A} may [well |]be {bad}
{A} can be {bad}, [no problem|that is fine|i do not mind|so what]
[i|we] [accept|do not mind|can live with|do not complain about] a {bad} {A}
{A} needs [little|less|no hurry|no help|no attention|no speed]
{A} {doesnt:A} [deserve|need|require|want|get] [priority|speed|help|attention|preference|much]
give {A} [less|little|a smaller share|a low rank|fewer resources|the second seat]
[less|fewer resources|a smaller share|lower priority|low rank] [for|to] {A}
{A} [gets|get] less
{A} with low priority
{A} [is|are] [no|not a|hardly a] priority{when}
{A} should [be quiet|be modest|behave|keep quiet|use less|take less|not take too much|stay small]
[no|little] [rush|stress|pressure|haste] [for|about|on] {A}
there is time [enough |]for {A}
[relax|take your time|be slow|be lazy] with {A}
[treat|handle|see|regard|consider] {A} as [background|unimportant|secondary|a chore|low priority]
[rank|place|put|set] {A} [below {rest}|at the bottom|last|behind {rest}]
{A} [eats|takes|uses|hogs] too [much|many resources], [reduce it|slow it down|limit it|that has to stop]
{A} [is|are] [killing|eating|hogging] the [machine|disk|cpu|memory]
{A} can [give up|do without|share|lose|spare] [some |][time|power|speed|memory|cpu]
take [something|a bit|some power|cpu|memory] from {A}
{A} [is|are] not in a [hurry|rush]
{A} at [half speed|a slow pace|low speed|leisure]
{A} only [if|when] [{rest} has enough|there is room|it disturbs nobody]
{A} {is:A} [only|just] [maintenance|housekeeping|a nice extra|for statistics|for fun|an experiment|a test]
i am in no hurry [with|for|about] {A}
""".strip().splitlines(),
    "LATER_HARD": """
{pls}{vstop} {A} {if}
{pls}{vstop} {A}{when}
you [may|can|could|are free to|are allowed to] {vstop} {A} {if}
{A} [may|can|could|might] be {vstopped} {if}
{A} [may|can] be {vstopped}{when}
{A} [may|can] [stop|pause|stand still|starve|freeze|halt|come to a halt|run dry] {if}
it is [fine|ok|okay|all right|no problem|acceptable] to {vstop} {A} {if}
[i|we] [do not|don't] mind if {A} [stops|is {vstopped}|stands still]
feel free to {vstop} {A}
{A} {is:A} [completely|totally|utterly|absolutely|entirely] {minor}
{A} [is|are] [expendable|worthless|useless|good for nothing|junk|the least important thing here|of no use]
{A} [gets|get] [nothing|only spare time|only idle time|only what nobody wants|the very least|only leftovers]
{A} should [get|have|use] only [spare|idle|leftover|unused] [time|cycles|capacity|resources]
[last of all|at the very end|dead last|bottom of the list] {A}
{A} has the [very |absolute |]lowest [priority|rank]
the lowest [possible |]priority for {A}
{A} at the lowest priority
{A} {doesnt:A} matter to [anybody|anyone] at all
i could not care less about {A}
{A} can wait [for years|until hell freezes over|till doomsday|indefinitely|for ever]
{A} [runs|run|may run] only [in idle time|when nothing else runs|if nobody else wants the machine|when the machine sleeps]
let {A} {vwait} as long as [it takes|you like|you want]
let {A} [starve|stop|freeze|stand still]
[take|steal|remove] [everything|all|all resources|whatever you need] from {A}
{vslow} {A} as much as [you can|possible|you want|you need]
{vslow} {A} [to the limit|to a crawl|down to nothing|radically|brutally|without mercy]
show no mercy [to|with] {A}
if [anything|something|one of them|somebody] has to [stop|go|suffer|pay], [it is|take|let it be] {A}
{A} first to be {vstopped}
""".strip().splitlines(),
    "NEVER": """
{pls}[do not|don't|never] {vtouch} {A}{when}
{pls}[do not|don't|never] {vtouch} {A}
never [ever |]{vtouch} {A}
[you|nobody|no one|the agent] [must|may|should|shall] [not|never] {vtouch} {A}
{A} [must|may|should|shall|can|is to] [not|never] be {touched}{when}
{A} [cannot|can't] be {touched}
nobody may {vtouch} {A}
there is [nothing|no need] to {vtouch} [about|at|in|on] {A}
[no|not any] [tuning|tweaks|adjustments|experiments|interventions|modifications|settings] [for|on|with|at|of] {A}
{A} [is|are] not to be {touched}
{A} [is|are] not yours to {vtouch}
{A} [is|are] [not your business|forbidden|a no go|private|protected by contract|under somebody else's control|out of scope|not part of this|managed elsewhere|looked after by others]
{A} [manages|tunes|looks after] itself, [leave it|hands off|do not help]
leave {A} [be|out|to itself|how it is|the way it is|exactly as it is|to the other team|well alone]
let {A} [be|alone|stay as it is]
keep [out of|clear of|off] {A}
{A} [is|are] [excluded|exempt|exempted|omitted] [from this|from tuning|]
[forget about|disregard|overlook|pass over|steer clear of|look away from] {A}
act as if {A} did not exist
whatever you do, [do not|never] {vtouch} {A}
do nothing [to|about|with|on] {A}
[make|apply|set] no [change|changes|limit|limits] [to|on|for] {A}
{A} must [stay|remain] [untouched|unchanged|the same|as it is|unmodified]
{A} [is|are] frozen by policy, do not {vtouch} it
{A} [is|are] fine, [leave it|do not {vtouch} it|no changes]
you [have no|do not have] permission to {vtouch} {A}
[i forbid|it is forbidden|it is not allowed] [you |]to {vtouch} {A}
""".strip().splitlines(),
    "PAIR": """
{A} {is:A} more {imp} than {B}
{B} {is:B} less {imp} than {A}
{B} {is:B} not as {imp} as {A}
{B} {is:B} more {minor} than {A}
{vfav} {A} [over|at the expense of|against|and not|instead of|rather than] {B}{when}
{vprot} {A} [from|against] {B}{when}
{pls}{vprot} {A} and {vslow} {B}
{pls}{vslow} {B} [for|in favour of|to help|for the sake of|because of|on behalf of] {A}
{pls}{vslow} {B}, {vprot} {A}
{pls}{vslow} {B} so that {A} [stays|remains|is|are|runs|gets] {adj}
{pls}{vslow} {B} [if|when|whenever|before|until|as soon as] {A} [suffers|needs it|gets {bad}|is {bad}|is in trouble|is under pressure]
{B} [must|should|may|can|could|shall] not {vhurt} {A}{when}
[never|do not|don't] let {B} {vhurt} {A}
keep {B} from {hurting} {A}
{B} {is:B} {hurting} {A}
{B} {is:B} {hurting} {A}, [help|do something|stop that|that must end|please act]
{B} [has to|should|must|can|may|will] {vwait} for {A}
{B} [has to|should|must|can|may] {vwait} [when|while|if|as long as] {A} [runs|is busy|needs the machine|is under load|suffers]
let {B} {vwait} for {A}
{A} [must|should|may] not [wait for|suffer from|be hurt by|be slowed by|starve because of|lag behind] {B}
{A} [comes|goes|ranks|runs|counts] before {B}
{B} [comes|goes|ranks|runs|counts] after {A}
{A} [ranks|stands] above {B}
{B} [ranks|stands] below {A}
{A} [outranks|beats|trumps|precedes|wins against] {B}
{B} [loses|yields|bows|gives in] to {A}
between {A} and {B}, [choose|take|pick|favour] {A}
[given the choice|in doubt|if you must choose] {A}, not {B}
{i} {A} [more than|before|rather than|and not] {B}
{A} {soon}, {B} {later}
{A} [now|first], {B} {later}
finish {A} {soon}, {B} {later}
first {A} and {B} {later}
[do|run|serve|finish|handle] {A} [first|before {B}|ahead of {B}], {B} [can follow|afterwards|later|last]
{B} {later}, {A} first
{B} {later}, but {A} {soon}
{A} {is:A} {imp}, {B} {is:B} {minor}
{B} {is:B} {minor}, {A} {is:A} {imp}
{B} {isnt:B} {imp}, [but |]{A} {is:A}
{A} {is:A} {imp}, {B} {isnt:B}
{A} {matters:A}, {B} {doesnt:B}
{A} [has|have] to be {adj}, {B} [does not|need not|doesn't]
{A} [must|should] not be {bad}, {B} [may|can] be
{A} [must|should] be {adj}, {B} [may|can] be {bad}
{B} [may|can] be {bad} as long as {A} {is:A} {adj}
give {A} what you take from {B}
[take|move|shift|steal] [power|time|memory|resources|cpu] from {B} [to|for|and give it to] {A}
{A} [gets|get] more than {B}
{B} [gets|get] [what {A} leaves|the rest after {A}|less than {A}|only what {A} does not need]
{B} [only |][if|when|once] {A} [is done|has enough|is happy|allows it|has finished|does not need the machine]
{B} [has time|can wait|is patient], {A} [has not|can not|is not]
[it is|it's] {A} we [need|care about|live from|wait for], not {B}
we [need|want|live from|wait for] {A}, not {B}
not {B}, {A}
{A}, not {B}
no, not {B} first but {A}
{A} used to wait for {B}, now it is the other way round
do not [sacrifice|slow|delay|neglect] {A} for {B}
do not {vfav} {B} [over|before|at the expense of] {A}
[better|rather] {vslow} {B} than {A}
better a {bad} {B} than a {bad} {A}
{A} at the cost of {B}
if one [must|has to] [wait|suffer|lose], [it is|let it be|take] {B}, not {A}
""".strip().splitlines(),
    "MENTION": """
{A} {was:A} [set up|bought|built|installed|moved|migrated|rewritten|renamed] [last year|in june|by the previous admin|recently|long ago]
{A} [runs|run|lives|sits] [on this machine|here|next door|in a container] since [june|last year|yesterday]
[the documentation|the contract|the license|the source code|the config] of {A} is [online|in the safe|in the archive|on the wiki]
{A} [has|have] [a new owner|many plugins|two config files|a dark theme|its own domain|a red icon]
[there is|you will find|we run|we host] {A} on this [machine|box|server]
{A} [is|are] written in [python|go|java|perl|c]
[eva|jonas|the intern|our partner|my brother] [wrote|installed|wanted|bought|named] {A}
i [wrote|saw|tested|heard of|talked about] {A} [last year|once|at school|on sunday]
{A} [will be|is to be] [renamed|replaced|audited] next year
[by the way|for your information|note], {A} [is|are] [version two|new|old|from berlin|open source]
""".strip().splitlines(),
    "CHATTER": """
[this|the] machine [stands|is] in [the cellar|the office|a rack|the kitchen]
[thank you|thanks a lot|many thanks|cheers]
[good evening|hi|hello|good day|dear agent]
it [rains|snows|is late|is monday|is warm in here]
i [will be|am] back [soon|after lunch break|on friday]
the [fan|keyboard|screen|light] is [new|loud|broken]
[write|tell|call] me [if|when] [something happens|you are done|there is news]
[you know|you see|well|so]
we [have|bought] [two|four] [disks|fans|monitors]
do your [best|job]
[i trust you|have fun|good luck|take it from here]
this is [important to read|my wish list|what i think]
the first thing you see is the login screen
last week we had a power cut
""".strip().splitlines(),
}

REASONS = (
    "because customers complain|because it is late|as agreed|because of the sale|since people are "
    "watching|because the boss said so|to save power|as always|because we have guests|since it "
    "earns our money|as we discussed|because of the deadline|to keep people happy|for obvious "
    "reasons|because i said so|as the contract says|since yesterday's incident|that is an order"
).split("|")

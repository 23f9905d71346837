"""Short news; see ``stories`` for how the table is read."""

from __future__ import annotations

NEWS = """
aside = {filler} .
aside = " {filler2} , " said {name9} {surname9} [from|of] {town9} .
aside = [meanwhile|elsewhere] , {filler3} .
[accident]
say = a {vehicle} [hit|ran into] a {vehicle2} [near|outside] {town} on {day} .
  / on {day} , a {vehicle} [hit|struck] a {vehicle2} [near|outside] {town} .
say = [the police|officers] first spoke of {count} injured [people|passengers] , but later [put|corrected] the [figure|number]
    to {count2} .
  / {count2} people were [injured|hurt] ; {count} [got away unharmed|walked away unhurt] .
  / {count2} people were [injured|hurt] , [the police said|said officers] .
aside = the road was closed for {count3} hours .
aside = in {month} , a {vehicle3} had [left the road|overturned] at the same spot .
sum = {count2} people were injured when a {vehicle} hit a {vehicle2} near {town} on {day} .
  / a {vehicle} hit a {vehicle2} near {town} on {day} , injuring {count2} people .
  / in {town} , {count2} people were hurt on {day} when a {vehicle} ran into a {vehicle2} .
[fire]
say = a fire [broke out|started] in [a|the old] {building} in {town} on {day} .
  / on {day} , flames [rose|were seen] above a {building} in {town} .
say = [neighbours|first reports|the radio] blamed {cause} , but [investigators|the police] [say|believe] it was {cause2} .
  / [investigators|the police] [say|believe] that {cause2} [caused|started] it , [and not|rather than] {cause} .
  / it was {cause2} , [the police said|said investigators] .
aside = {count} firefighters [were called|came] .
aside = the {building2} next door was [not damaged|saved] .
sum = {cause2} caused a fire in a {building} in {town} on {day} .
  / a {building} in {town} burned on {day} because of {cause2} .
  / on {day} , {cause2} set a {building} in {town} on fire .
[theft]
say = [thieves|burglars] [broke into|entered] a {building} in {town} and [took|stole] a {thing} .
  / a {thing} was [stolen|taken] from a {building} in {town} .
say = [at first , the|the] police [arrested|suspected] {name} {surname} , but [let {name.him} go|{name.he} was elsewhere] .
  / {name} {surname} [saw|had noticed] a light [in the night|at midnight] .
say = on {day} , {name2} {surname2} [was arrested|confessed] .
  / [officers|the police] arrested {name2} {surname2} on {day} .
aside = it is worth {count} thousand euros .
aside = a {thing2} was left [behind|untouched] .
sum = {name2} {surname2} was arrested on {day} for stealing a {thing} from a {building} in {town} .
  / the police arrested {name2} {surname2} on {day} : {name2.he} is said to have taken a {thing} from a {building} in {town} .
  / on {day} , {name2} {surname2} was held for the theft of a {thing} from a {building} in {town} .
[opening]
say = {town} [is getting|will have] a new {building} .
  / [work on|the building of] the new {building} in {town} [goes on|continues] .
say = it was to open in {month} , but [the workers went on strike|the money ran out|the roof leaked] : now it will [be|not be
    ready before] {month2} .
  / it will open in {month2} , not in {month} as [planned|promised] .
  / it [will|is to] open in {month2} .
say = the cost has [risen|gone up] from {count} to {count2} million euros .
  / it [costs|will cost] {count2} million euros .
aside = {name} {surname} drew the plans .
aside = the old {building2} [will be|was] torn down .
sum = a new {building} will open in {town} in {month2} and cost {count2} million euros .
  / in {month2} , {town} will open a {building} that costs {count2} million euros .
  / {town} will have a {building} for {count2} million euros in {month2} .
[appointment]
say = the {org} in {town} has [chosen|been looking for] a new {job} .
  / {name} {surname} [is leaving|has left] : the {org} in {town} needs a new {job} .
say = many had [expected|hoped for] {name2} {surname2} , but {name3} {surname3} [was chosen|got the post] .
  / {name3} {surname3} [was chosen|got the post] , and not {name2} {surname2} .
  / it will be {name3} {surname3} .
aside = {count} [people|candidates] had applied .
aside = the {org2} [congratulated|sent flowers] .
sum = {name3} {surname3} becomes {job} of the {org} in {town} .
  / the {org} in {town} has made {name3} {surname3} its {job} .
  / the new {job} of the {org} in {town} is {name3} {surname3} .
[match]
say = {town} [met|played] {town2} in the {sport} [cup|league] on {day} .
  / on {day} , {town2} [met|played] {town} in the {sport} [cup|league] .
say = {town2} led by {goals} at the break , but {town} [won|came back and won] .
  / {town} [led from the start and won|was never behind and won] .
  / after [a goal|one point] by {name} {surname} , {town} won .
aside = {count} thousand [fans|people] [watched|came] .
aside = {town3} will play {town4} in {month} .
sum = {town} beat {town2} at {sport} on {day} .
  / {town} won against {town2} at {sport} on {day} .
  / on {day} , {town2} lost to {town} at {sport} .
[verdict]
say = a court in {town} [tried|heard the case of] {name} {surname} , a former {job} .
  / {name} {surname} , once a {job} , stood trial in {town} .
say = {name.he} [was|had been] accused of {crime} and {crime2} , but only {crime} was proved .
  / {name.he} was [found guilty|convicted] of {crime} , but not of {crime2} .
  / {name.he} was [found guilty|convicted] of {crime} .
say = the prosecution had [asked for|demanded] {count} months , the judge gave {name.him} {count2} .
  / {name.he} got {count2} months , [though|while] others had got {count} .
  / {name.he} [must go|goes] to prison for {count2} months .
aside = {name2} {surname2} [spoke for the defence|was in the room] .
sum = {name} {surname} must go to prison in {town} for {count2} months for {crime} .
  / a court in {town} gave {name} {surname} {count2} months for {crime} .
  / for {crime} , {name} {surname} got {count2} months in prison in {town} .
[prize]
say = the [prize|award] of {town} [was given|went out] on {day} .
  / on {day} , the jury of {town} [met|gave its prize] .
say = {name} {surname} was the [favourite|first choice of many] , but {name2} {surname2} won with a {work} .
  / {name2} {surname2} won with a {work} ; {name} {surname} [came second|was second] .
  / a {work} by {name2} {surname2} won .
aside = {name3} {surname3} played the {instrument} .
aside = it comes with {count} thousand euros .
sum = {name2} {surname2} won the prize of {town} on {day} with a {work} .
  / on {day} , the prize of {town} went to {name2} {surname2} for a {work} .
  / a {work} won {name2} {surname2} the prize of {town} on {day} .
"""

"""Short dialogues of two people; see ``stories`` for how the table is read."""

from __future__ import annotations

DIALOGUES = """
aside = {name} : [did you know|have you heard] ? {filler} . {name2} : [really|no] ?
aside = {name2} : [by the way|oh] , {filler2} . {name} : i [know|see] .
aside = {name} : how is {name9} ? {name2} : [fine|well] , {name9.he} [has moved to|lives in] {town9} .
[meeting]
say = {name} : [hello|hi] {name2} , shall we {fun} on {day} ? {name2} : i [would like|love] that , but i have to {excuse} .
    {name} : and on {day2} ? {name2} : [yes|good] .
  / {name2} : [hello|hi] {name} , [can|shall] we {fun} on {day2} ? {name} : [yes|with pleasure] , on {day} i [can not|must
    {excuse}] .
  / {name} : [would you like to|shall we] {fun} on {day2} ? {name2} : [good|yes] , i have time .
say = {name2} : at {hour} ? {name} : i am [at work|busy] , [rather|better] at {hour2} .
  / {name} : is {hour2} all right ? {name2} : yes , it is .
  / {name2} : shall i come at {hour2} ? {name} : yes , at {hour} it is too [early|late] .
aside = {name} : bring the {thing} . {name2} : [all right|of course] .
sum = {name} and {name2} will {fun} on {day2} at {hour2} .
  / on {day2} at {hour2} , {name} and {name2} will {fun} .
  / {name2} and {name} agree to {fun} at {hour2} on {day2} .
[refusal]
say = {name} : [hello|hi] {name2} , shall we {fun} on {day} ? {name2} : i [would like|love] that , but i have to {excuse} .
    {name} : and on {day2} ? {name2} : i am away [then|too] .
  / {name} : [would you like to|shall we] {fun} on {day} ? {name2} : i can not , i [must|have to] {excuse} .
say = {name} : then i will ask {name3} .
  / {name} : what a pity .
  / {name2} : ask {name3} , {name3.he} likes that .
aside = {name} : i [lost|forgot] the {thing} . {name2} : [oh|again] ?
sum = {name2} can not {fun} with {name} because {name2.he} has to {excuse} .
  / {name} wants to {fun} , but {name2} has to {excuse} .
  / {name2} has to {excuse} , so {name2.he} can not {fun} with {name} .
[purchase]
say = {name} : [good morning|hello] , i am looking for a {thing} . {name2} : here is a {colour} one for {price} euros . {name} :
    [that is too expensive|i do not like it] . {name2} : the {colour2} one costs {price2} . {name} : i will take it .
  / {name2} : can i help you ? {name} : [how much is|what does it cost ,] the {colour2} {thing} ? {name2} : {price2} euros ,
    and the {colour} one {price} . {name} : [the first one|the {colour2} one] , please .
  / {name} : is this {colour2} {thing} [for sale|still to be had] ? {name2} : yes , for {price2} euros . {name} : i will take
    it .
say = {name2} : do you need a {thing2} too ? {name} : no , thank you .
  / {name} : it is a present for {name3} . {name2} : how [nice|kind] .
aside = {name2} : we close at {hour} . {name} : [all right|i see] .
sum = {name} buys a {colour2} {thing} from {name2} for {price2} euros .
  / {name2} sells {name} a {colour2} {thing} for {price2} euros .
  / for {price2} euros , {name} gets a {colour2} {thing} from {name2} .
[doctor]
say = {name2} : what is the matter , {name} ? {name} : i have had {pain} [since|from] {day} . {name2} : and {pain2} too ? {name}
    : no , not [that|at all] .
  / {name} : doctor {name2} , [it is|i have] {pain} [since|from] {day} !
  / {name2} : is it {pain2} again ? {name} : no , [it is|now i have] {pain} , since {day} .
say = {name} : should i {cure} ? {name2} : no , you [should|must] {cure2} .
  / {name2} : you [should|must] {cure2} .
  / {name2} : {cure2} , but do not {cure} .
aside = {name2} : are you still a {job} ? {name} : [yes|no] .
sum = {name} has had {pain} since {day} ; {name2} tells {name.him} to {cure2} .
  / {name2} tells {name} to {cure2} because of {pain} since {day} .
  / since {day} , {name} has had {pain} ; {name.he} should {cure2} , says {name2} .
[ticket]
say = {name} : [a ticket|one seat] to {town} , please , at {hour} . {name2} : [that train is full|there is none left] ; at
    {hour2} there is one . {name} : good .
  / {name} : when does the [next|fast] train go to {town} ? {name2} : at {hour2} , not at {hour} as [usual|before] . {name} :
    then a ticket , please .
  / {name} : is there a [seat|ticket] to {town} at {hour2} ? {name2} : yes , there is .
say = {name2} : first class for {price} or second class for {price2} ? {name} : second class .
  / {name2} : that is {price2} euros .
  / {name} : does it cost {price} ? {name2} : no , {price2} now .
aside = {name} : can i take my {instrument} ? {name2} : [yes|of course] .
sum = {name} buys a ticket to {town} at {hour2} for {price2} euros .
  / {name2} sells {name} a ticket to {town} at {hour2} for {price2} euros .
  / for {price2} euros , {name} will go to {town} at {hour2} .
[lost]
say = {name} : {name2} , i can not find my {colour} {thing} ! {name2} : is it in the {building} ? {name} : no , i looked there .
  / {name2} : what are you looking for , {name} ? {name} : my {colour} {thing} .
  / {name} : have you seen my {colour} {thing} , {name2} ? {name2} : not the {thing} , only your {thing2} .
say = {name2} : were you not in the {building2} on {day} ? {name} : [yes|right] , it must be there !
  / {name} : on {day} i was in the {building2} . {name2} : then you left it there .
  / {name2} : {name3} saw it in the {building2} on {day} . {name} : thank you !
aside = {name} : it was a present from {name4} . {name2} : [i know|oh] .
sum = {name} left the {colour} {thing} in the {building2} on {day} .
  / the {colour} {thing} that {name} lost on {day} is in the {building2} .
  / on {day} , {name} forgot the {colour} {thing} in the {building2} .
[job]
say = {name} : is it true that you are leaving {town} , {name2} ? {name2} : yes , i am moving to {town2} .
  / {name2} : i am moving from {town} to {town2} , {name} . {name} : [oh|really] ?
  / {name} : are you moving to {town} ? {name2} : no , {name} , to {town2} .
say = {name} : as a {job} ? {name2} : no , they [need|want] a {job2} . {name} : when ? {name2} : in {month} .
  / {name2} : in {month} i [start|begin] as a {job2} .
  / {name} : what will you do ? {name2} : from {month} i will be a {job2} , as {name3} was before me .
aside = {name2} : can you [keep|sell] my {device} ? {name} : [yes|of course] .
sum = {name2} is moving to {town2} in {month} to be a {job2} .
  / in {month} , {name2} will be a {job2} in {town2} .
  / {name2} tells {name} about moving to {town2} as a {job2} in {month} .
"""

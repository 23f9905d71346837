"""Adjectives, adverbs, compounds and the other small words, most frequent first within their list.

Adjectives: ``german (comparative, superlative) = english / synonym : noun classes``; a word with several senses has one line
a sense.  ``-`` after the German word: it is not compared.
"""

from __future__ import annotations

ADJECTIVES = """
alt (älter, ältest) = old : person animal object building place part plant work
neu = new : person object building idea work device
gut (besser, best) = good : person doc food drink idea work event device building
groß (größer, größt) = big / large : animal building room place furniture vehicle plant org thing part
groß (größer, größt) = tall : person
klein = small : animal building room place furniture vehicle plant org thing part person
jung (jünger, jüngst) = young : person kin animal
schön = beautiful : building place work plant clothes room person
lang (länger, längst) = long : doc event
wichtig = important : person doc idea task event
schwer = heavy : furniture koffer kiste paket stein korb tasche
schwer = difficult / hard : task language subject
schwer = serious : illness unfall
leicht = light : koffer jacke mantel tasche kiste decke.thing
leicht = easy : task
schlecht = bad : food idea event work wetter device
teuer (teurer, teuerst) = expensive : object building food drink instrument
billig = cheap : object food drink
interessant = interesting : doc idea work event person subject
bekannt = well-known : person building org work place
berühmt = famous : person building work place
ruhig = quiet : person place room building
kalt (kälter, kältest) = cold : food drink room wasser
warm (wärmer, wärmst) = warm : food clothes room
heiß = hot : suppe kaffee tee ofen milch
nett = nice / kind : person
freundlich = friendly : person animal
fleißig = hard-working : person
müde = tired : person animal
krank (kränker, kränkst) = sick : person kin animal
glücklich = happy : person kin
traurig = sad : person kin geschichte.doc lied film märchen
reich = rich : person org stadt.place land
arm (ärmer, ärmst) = poor : person land
stark (stärker, stärkst) = strong : person animal kaffee org
stark (stärker, stärkst) = heavy : sturm gewitter husten
schnell = fast : vehicle animal
langsam = slow : vehicle animal computer
leer = empty : building room flasche glas koffer kiste
voll = full : flasche glas korb bus saal koffer
kaputt- = broken : device spielzeug brille stuhl
schmutzig = dirty : clothes room fenster geschirr teller
sauber = clean : clothes room teller
frisch = fresh : food
süß = sweet : kuchen obst birne.food kirsche erdbeere
süß = cute : animal kind
reif = ripe : tomate birne.food pflaume kirsche
reif = mature : person
scharf (schärfer, schärfst) = sharp : messer schere schwert säge
scharf (schärfer, schärfst) = spicy : suppe gericht.food wurst
hoch (höher, höchst) = high : preis mauer berg steuer temperatur zaun
hoch (höher, höchst) = tall : baum turm eiche
niedrig = low : preis temperatur
breit = wide : straße fluss bett brücke
schmal = narrow : straße treppe bett brücke
tief = deep : see fluss schlucht wasser
dick = thick : buch mantel decke.thing seil mauer
dick = fat : katze hund huhn
dünn = thin : papier buch seil person
dunkel (dunkler, dunkelst) = dark : room wald straße höhle
hell = bright : room licht lampe
laut = loud : device musik gespräch
gefährlich = dangerous : animal place reise verbrecher situation
klug (klüger, klügst) = clever : person animal idee entscheidung vorschlag
intelligent = intelligent : person animal
dumm (dümmer, dümmst) = stupid : idea frage fehler
lustig = funny : doc film person lied
langweilig = boring : doc work event person subject
spannend = exciting : doc work event reise
merkwürdig = strange / odd : person doc idea task event work
geheim- = secret : plan brief vertrag abkommen
offen- = open : tür fenster tor frage
richtig- = right / correct : entscheidung antwort lösung
falsch- = wrong : entscheidung antwort lösung schlüssel
notwendig = necessary : reform regel entscheidung arbeit
möglich- = possible : lösung grund erklärung
nützlich = useful : device werkzeug erfindung rat idea
gemütlich = cosy : room wohnung gasthaus sessel
bequem = comfortable : furniture schuh hose
modern = modern : building device work
einfach = simple : task idea methode rezept
kompliziert = complicated : task device vertrag
ernst = serious : task gespräch person
streng = strict : person gesetz regel
höflich = polite : person
ehrlich = honest : person antwort
stolz = proud : person kin
nervös = nervous : person animal
neugierig = curious : person animal
mutig = brave : person entscheidung
vorsichtig = careful / cautious : person
faul = lazy : person animal
treu = faithful / loyal : freund hund kunde
eifersüchtig = jealous : person
einsam = lonely : person insel
bescheiden = modest : person
wütend = angry : person kin
begabt = gifted / talented : künstler musiker person
erfahren = experienced : person
zuverlässig = reliable : person device zeuge
geduldig = patient : person
schüchtern = shy : person
großzügig = generous : person angebot
geizig = stingy : person
ungeduldig = impatient : person
betrunken- = drunk : person
blind- = blind : person animal
verrückt = crazy / mad : person idea
elegant = elegant : person clothes
schick = smart : clothes
eng = tight : clothes
eng = narrow : straße tal room
nass = wet : clothes hund
trocken = dry : clothes holz
zerbrechlich = fragile : vase glas teller tasse
wertvoll = valuable : ring gemälde uhr schmuck münze
selten = rare : animal plant münze buch
wild = wild : animal
zahm = tame : animal
giftig = poisonous : schlange pilz plant
lecker = delicious / tasty : food
gesund (gesünder, gesündest) = healthy : food kind
bitter = bitter : kaffee schokolade
sauer (saurer, sauerst) = sour : apfel milch zitrone
fett = fatty : wurst fleisch
saftig = juicy : apfel birne.food braten
steil = steep : berg treppe dach
flach = flat : land dach
fern- = distant : land küste
heilig- = holy : berg
öffentlich- = public : park versammlung
privat- = private : garten strand gespräch
heimlich- = secret : verhandlung hochzeit
jährlich- = annual : bericht messe versammlung
ausführlich = detailed : doc gespräch
gründlich = thorough : reform bericht
umstritten = controversial : reform gesetz politiker plan
erfolgreich = successful : person org film event
gescheitert- = failed : reform plan verhandlung
überraschend = surprising : ergebnis entscheidung nachricht
vernünftig = reasonable : vorschlag preis lösung
lächerlich = ridiculous : vorschlag hut forderung
gerecht = fair : gesetz richter lösung
grausam = cruel : krieg könig gesetz
gewaltig- = enormous : sturm palast turm
prächtig = magnificent : palast kleid hochzeit
verfallen- = dilapidated : hütte mühle scheune palast
verlassen- = abandoned : hütte fabrik dorf mühle
verrostet- = rusty : schlüssel fahrrad tor nadel
zerrissen- = torn : hose hemd brief vorhang
vergoldet- = gilded : rahmen spiegel krone geländer
bestechlich = corrupt : minister richter polizist
schlaflos- = sleepless : patient kind
unheimlich = eerie / uncanny : wald höhle mühle
hartnäckig = stubborn / persistent : gegner esel husten
rätselhaft = mysterious : nachricht erfindung brief
weise = wise : könig richter mönch entscheidung
tapfer = valiant : ritter soldat
gebildet = educated : person
kahl = bald : mann.person großvater
schwanger- = pregnant : frau.person
taub- = deaf : person
stumm- = mute : zeuge mönch
hungrig = hungry : person animal
durstig = thirsty : person animal
"""
COLOURS = """
rot = red | weiß = white | schwarz = black | blau = blue | grün = green | gelb = yellow | braun = brown | grau = grey
hellblau = light blue | dunkelgrün = dark green | golden = golden | silbern = silver | violett = purple | bunt = colourful
türkis = turquoise | scharlachrot = scarlet
"""
COLOURED = "clothes furniture vehicle thing blume rose tulpe haus tür katze hund pferd vogel vorhang teppich"
ORIGINS = """
deutsch = german | französisch = french | englisch = english | italienisch = italian | amerikanisch = american
russisch = russian | polnisch = polish | spanisch = spanish | europäisch = european | japanisch = japanese
chinesisch = chinese | schwedisch = swedish | türkisch = turkish | griechisch = greek | österreichisch = austrian
indisch = indian | holländisch = dutch | ungarisch = hungarian | dänisch = danish | norwegisch = norwegian
ägyptisch = egyptian | bayerisch = bavarian | irisch = irish | portugiesisch = portuguese | flämisch = flemish
isländisch = icelandic
"""
ORIGINATING = "person food drink doc org vehicle work instrument kaffee universität"
DEGREES = """
sehr = very | ziemlich = rather / quite | besonders = particularly | wirklich = really | unglaublich = incredibly
außerordentlich = extraordinarily
"""

# the modifier of a compound = its English counterpart : the classes of its heads
COMPOUNDS = """
holz = wooden : furniture haus kirche scheune turm brücke treppe kiste löffel spielzeug pferd hütte tür
stein = stone : haus kirche turm kloster brücke mauer treppe
glas = glass : tisch tür dach vase schüssel perle
küchen = kitchen : tisch stuhl schrank fenster tür messer uhr lampe
garten = garden : tür tor stuhl tisch bank.furniture fest mauer haus zaun
schul = school : fest bus buch garten chor projekt bibliothek
stadt = city : park theater bibliothek mauer museum fest
sommer = summer : fest kleid reise schuh abend konzert haus
winter = winter : mantel schuh jacke abend spiel
kinder = children 's : buch zimmer krankenhaus fahrrad theater lied film sendung spiel
leder = leather : jacke tasche schuh sessel gürtel handschuh koffer
dorf = village : schule kirche straße bäckerei fest platz brunnen bürgermeister
bahnhof s = station : straße uhr restaurant platz hotel
kirchen = church : turm tür fenster dach glocke chor orgel
fabrik = factory : gebäude dach tor direktor arbeiter
gold = gold : ring münze krone uhr
silber = silver : löffel ring münze
bücher = book : regal schrank kiste liste
papier = paper : blume schiff krone
haus = front : tür
haus = house : schlüssel dach wand
land = country : straße haus arzt hotel
wein = wine : glas flasche keller
bier = beer : glas flasche garten
tee = tea : tasse löffel
kaffee = coffee : tasse maschine
apfel = apple : kuchen baum saft
kirsch = cherry : kuchen baum saft marmelade
kartoffel = potato : suppe salat feld
gemüse = vegetable : suppe garten markt
fisch = fish : suppe markt gericht.food restaurant
kriminal = crime : roman geschichte.doc film
liebes = love : brief lied gedicht geschichte.doc film roman
zeitung s = newspaper : artikel bericht
versicherung s = insurance : vertrag firma
miet = rental : vertrag wagen wohnung
regierung s = government : bericht gebäude vertrag plan
universität s = university : bibliothek professor gebäude
arbeit s = work : zimmer
geburtstag s = birthday : geschenk fest kuchen karte.mail lied
weihnacht s = christmas : geschenk lied fest markt baum
hochzeit s = wedding : kleid geschenk foto feier
nacht = night : zug bus
regen = rain : jacke
wasser = water : flasche pumpe glas turm mühle
wind = wind : mühle
wald = forest : see wiese
berg = mountain : dorf see hütte bach
strand = beach : hotel restaurant
hafen = harbour : stadt.place mauer restaurant
flug = flight : lehrer
bronze = bronze : skulptur münze glocke
marmor = marble : treppe skulptur boden palast
samt = velvet : kleid vorhang kissen jacke
seiden = silk : kleid bluse schal krawatte
woll = woollen : pullover mütze socke decke.thing schal
stroh = straw : hut dach korb
blech = tin : dach trommel spielzeug schachtel
ziegel = brick : mauer haus fabrik
musik = music : schule lehrer verlag
deutsch = german : lehrer unterricht buch
mathematik = mathematics : lehrer unterricht buch aufgabe professor
geschichts = history : lehrer unterricht buch professor
"""

# tense: past, habit, now, soon, done (up to now), since, any.  place in English: mid(dle), end, front
TIMES = """
[past]
gestern = yesterday : end
letzte woche = last week : end
gestern abend = last night : end
letztes jahr = last year : end
damals = at that time / then : end
vor kurzem = recently : mid
plötzlich = suddenly : mid
heute morgen = this morning : end
letzten sommer = last summer : end
vorgestern = the day before yesterday : end
schließlich = finally : mid
zuerst = at first : end
später = later : end
eines tages = one day : front
einst = once : mid
im letzten augenblick = at the last moment : end
am nächsten morgen = the next morning : end
um mitternacht = at midnight : end
[habit]
oft = often : mid
immer = always : mid
jeden tag = every day : end
manchmal = sometimes : mid
selten = rarely / seldom : mid
abends = in the evening : end
normalerweise = usually / normally : mid
jede woche = every week : end
meistens = mostly : mid
morgens = in the morning : end
nachts = at night : end
im winter = in winter : end
gelegentlich = occasionally : mid
zweimal im monat = twice a month : end
sonntags = on sundays : end
von zeit zu zeit = from time to time : end
in der regel = as a rule : front
alle zwei jahre = every other year : end
[now]
gerade = right now : end
im moment = at the moment : end
jetzt = now : end
heute = today : end
zurzeit = at present / currently : front
in diesem augenblick = at this very moment : end
[soon]
morgen = tomorrow : end
bald = soon : mid
heute abend = this evening / tonight : end
nächste woche = next week : end
nächstes jahr = next year : end
übermorgen = the day after tomorrow : end
nächsten monat = next month : end
in zukunft = in future : end
demnächst = before long : end
früher oder später = sooner or later : front
[done]
schon = already : mid
gerade = just : mid
bereits = already : mid
noch nie = never : mid
schon oft = often : mid
endlich = finally / at last : mid
schon dreimal = three times : end
"""
MANNERS = """
schnell = quickly | langsam = slowly | leise = quietly | vorsichtig = carefully | gemeinsam = together | allein = alone
heimlich = secretly | sorgfältig = carefully | zusammen = together | geduldig = patiently | sofort = immediately
freiwillig = voluntarily | mühsam = laboriously | gründlich = thoroughly | stillschweigend = tacitly | ungern = reluctantly
hastig = hastily | unauffällig = inconspicuously | eifrig = eagerly | lustlos = listlessly
"""
ATTITUDES = """
vielleicht = perhaps / maybe : front | wahrscheinlich = probably : mid | leider = unfortunately : front
natürlich = of course : front
wirklich = really : mid
offenbar = apparently : front | wohl = probably : mid | sicher = certainly : mid | zum glück = fortunately / luckily : front
hoffentlich = hopefully : front
tatsächlich = actually : mid | vermutlich = presumably : mid | trotzdem = nevertheless / still : front
deshalb = therefore : front
außerdem = besides / moreover : front | auf jeden fall = in any case : front | zweifellos = undoubtedly : mid
überraschenderweise = surprisingly : front
bedauerlicherweise = regrettably : front | meines wissens = as far as i know : front
seltsamerweise = strangely enough : front
"""
WEEKDAYS = """
montag monday|dienstag tuesday|mittwoch wednesday|donnerstag thursday|freitag friday|samstag saturday|sonntag sunday
"""
MONTHS = """
januar january|februar february|märz march|april april|mai may|juni june|juli july|august august|september september
oktober october|november november|dezember december
"""

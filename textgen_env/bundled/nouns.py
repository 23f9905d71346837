"""Nouns, names and places, most frequent first within their class: a noun's place in its list is its rank in the Zipf draw.

``german gender plural = english / synonym``.  Gender: m f n, ``m*`` for weak masculines (den studenten), p for plural only.
Plural: a suffix (``-en``), ``¨`` for a stem that takes its umlaut, ``x`` for none, or the whole form.  ``+in`` adds the
feminine (or the word given).  English: ``~`` has no plural (``advice~``), ``+`` is a plural (``glasses+``).
``@ an/on`` is the preposition of a place (default in/in).
"""

from __future__ import annotations

from textgen_env.bundled.tables import words

NOUNS = """
[person]
mann m ¨er = man
frau f -en = woman
kind n -er = child
freund m -e +in = friend
lehrer m - +in = teacher
arzt m ¨e +ärztin = doctor
schüler m - +in = pupil / student
mädchen n - = girl
junge m* -n = boy
kollege m* -n +kollegin = colleague
nachbar m* -n +in = neighbour
student m* -en +in = student
chef m -s +in = boss
polizist m* -en +in = police officer
kunde m* -n +kundin = customer
direktor m -en +in = director
gast m ¨e = guest
verkäufer m - +in = shop assistant
künstler m - +in = artist
arbeiter m - +in = worker
journalist m* -en +in = journalist
politiker m - +in = politician
koch m ¨e +köchin = cook
bürgermeister m - +in = mayor
anwalt m ¨e +anwältin = lawyer
professor m -en +in = professor
schauspieler m - +in = actor
ingenieur m -e +in = engineer
minister m - +in = minister
schriftsteller m - +in = writer
bauer m* -n +bäuerin = farmer
präsident m* -en +in = president
fahrer m - +in = driver
mechaniker m - +in = mechanic
musiker m - +in = musician
wissenschaftler m - +in = scientist
besucher m - +in = visitor
bäcker m - +in = baker
leiter m - +in = manager
patient m* -en +in = patient
dieb m -e +in = thief
zeuge m* -n +zeugin = witness
richter m - +in = judge
könig m -e = king
königin f -nen = queen
sänger m - +in = singer
maler m - +in = painter
trainer m - +in = coach
soldat m* -en +in = soldier
dichter m - +in = poet
gegner m - +in = opponent
briefträger m - +in = postman
kellner m - +in = waiter
verbrecher m - +in = criminal
forscher m - +in = researcher
pfarrer m - +in = priest
gärtner m - +in = gardener
zahnarzt m ¨e +zahnärztin = dentist
tischler m - +in = carpenter
pilot m* -en +in = pilot
matrose m* -n = sailor
redakteur m -e +in = editor
dolmetscher m - +in = interpreter
übersetzer m - +in = translator
physiker m - +in = physicist
philosoph m* -en +in = philosopher
fischer m - +in = fisherman
jäger m - +in = hunter
apotheker m - +in = pharmacist
schneider m - +in = tailor
architekt m* -en +in = architect
botschafter m - +in = ambassador
zuschauer m - +in = spectator
buchhalter m - +in = accountant
friseur m -e +in = hairdresser
einbrecher m - +in = burglar
bettler m - +in = beggar
klempner m - +in = plumber
dirigent m* -en +in = conductor
bildhauer m - +in = sculptor
geiger m - +in = violinist
ritter m - = knight
schmied m -e = blacksmith
metzger m - +in = butcher
mönch m -e = monk
nonne f -n = nun
hebamme f -n = midwife
zauberer m - +zauberin = magician
lehrling m -e = apprentice
flüchtling m -e = refugee
häftling m -e = prisoner
förster m - +in = forester
schaffner m - +in = ticket inspector
uhrmacher m - +in = watchmaker
imker m - +in = beekeeper
spion m -e +in = spy
narr m* -en = fool
zwilling m -e = twin
waise f -n = orphan
seiltänzer m - +in = tightrope walker
[kin]
mutter f x = mother
vater m x = father
bruder m ¨ = brother
schwester f -n = sister
sohn m ¨e = son
tochter f ¨ = daughter
großmutter f x = grandmother
großvater m x = grandfather
onkel m - = uncle
tante f -n = aunt
eltern p = parents+
mann m x = husband
frau f x = wife
cousin m -s = cousin
cousine f -n = cousin
enkel m - +in = grandchild
neffe m* -n = nephew
nichte f -n = niece
geschwister p = siblings+
großeltern p = grandparents+
schwiegermutter f x = mother-in-law
schwager m ¨ = brother-in-law
schwägerin f -nen = sister-in-law
urgroßvater m x = great-grandfather
[animal]
hund m -e = dog
katze f -n = cat
pferd n -e = horse
vogel m ¨ = bird
kuh f ¨e = cow
maus f ¨e = mouse
huhn n ¨er = chicken
schaf n -e = sheep
schwein n -e = pig
hase m* -n = hare
fuchs m ¨e = fox
bär m* -en = bear
wolf m ¨e = wolf
affe m* -n = monkey
löwe m* -n = lion
hahn m ¨e = rooster
ente f -n = duck
ziege f -n = goat
schlange f -n = snake
frosch m ¨e = frog
esel m - = donkey
gans f ¨e = goose
elefant m* -en = elephant
igel m - = hedgehog
eichhörnchen n - = squirrel
adler m - = eagle
eule f -n = owl
schimmel m - = white horse
kamel n -e = camel
biber m - = beaver
dachs m -e = badger
otter m - = otter
papagei m -en = parrot
strauß m -e = ostrich
rabe m* -n = raven
schildkröte f -n = tortoise
[food]
brot n x = bread~
suppe f -n = soup
kuchen m - = cake
apfel m ¨ = apple
fleisch n x = meat~
käse m x = cheese~
ei n -er = egg
fisch m -e = fish
kartoffel f -n = potato
schokolade f x = chocolate~
gemüse n x = vegetables+
obst n x = fruit~
salat m -e = salad
reis m x = rice~
butter f x = butter~
gericht n -e = dish
tomate f -n = tomato
birne f -n = pear
eis n x = ice cream~
wurst f ¨e = sausage
honig m x = honey~
pilz m -e = mushroom
kirsche f -n = cherry
zwiebel f -n = onion
pfannkuchen m - = pancake
nudeln p = pasta~
keks m -e = biscuit
erdbeere f -n = strawberry
pflaume f -n = plum
brötchen n - = roll
marmelade f -n = jam~
himbeere f -n = raspberry
knoblauch m x = garlic~
schinken m x = ham~
gurke f -n = cucumber
möhre f -n = carrot
traube f -n = grape
braten m - = roast
zitrone f -n = lemon
spargel m x = asparagus~
nuss f ¨e = nut
[drink]
wasser n x = water~
kaffee m x = coffee~
tee m x = tea~
bier n x = beer~
wein m x = wine~
milch f x = milk~
saft m x = juice~
kakao m x = cocoa~
limonade f x = lemonade~
sekt m x = sparkling wine~
schnaps m x = liquor~
[thing]
schlüssel m - = key
geschenk n -e = present / gift
tasche f -n = bag
koffer m - = suitcase
bild n -er = picture
ring m -e = ring
messer n - = knife
uhr f -en = clock
glas n ¨er = glass
flasche f -n = bottle
ball m ¨e = ball
brille f -n = glasses+
schloss n ¨er = lock
teller m - = plate
kiste f -n = box
paket n -e = parcel / package
tasse f -n = cup
schirm m -e = umbrella
korb m ¨e = basket
leiter f -n = ladder
geldbeutel m - = purse
spiegel m - = mirror
kerze f -n = candle
puppe f -n = doll
löffel m - = spoon
gabel f -n = fork
topf m ¨e = pot
decke f -n = blanket
vase f -n = vase
hammer m ¨ = hammer
spielzeug n -e = toy
pinsel m - = paintbrush
stift m -e = pen
seil n -e = rope
schachtel f -n = small box
teppich m -e = carpet
schere f -n = scissors+
säge f -n = saw
nadel f -n = needle
rahmen m - = frame
schüssel f -n = bowl
eimer m - = bucket
kamm m ¨e = comb
kissen n - = pillow
schwert n -er = sword
pfanne f -n = frying pan
feder f -n = feather
strauß m ¨e = bouquet
besen m - = broom
münze f -n = coin
knopf m ¨e = button
trommel f -n = drum
perle f -n = pearl
pflaster n - = plaster
laterne f -n = lantern
zange f -n = pliers+
glocke f -n = bell
krone f -n = crown
fernglas n ¨er = binoculars+
fingerhut m ¨e = thimble
kreisel m - = spinning top
schaufel f -n = shovel
trichter m - = funnel
fächer m - = fan
zirkel m - = pair of compasses
amboss m -e = anvil
[device]
telefon n -e = telephone / phone
computer m - = computer
maschine f -n = machine
lampe f -n = lamp
fernseher m - = television
kamera f -s = camera
radio n -s = radio
heizung f -en = heating~
birne f -n = light bulb
kühlschrank m ¨e = refrigerator / fridge
motor m -en = engine
aufzug m ¨e = lift
waschmaschine f -n = washing machine
drucker m - = printer
hahn m ¨e = tap
ofen m ¨ = stove
wecker m - = alarm clock
klimaanlage f -n = air conditioning~
staubsauger m - = vacuum cleaner
taschenlampe f -n = torch
bremse f -n = brake
schalter m - = switch
nähmaschine f -n = sewing machine
pumpe f -n = pump
rasenmäher m - = lawnmower
geschirrspüler m - = dishwasher
mikroskop n -e = microscope
fernrohr n -e = telescope
plattenspieler m - = record player
bohrer m - = drill
lenkrad n ¨er = steering wheel
waage f -n = scales+
kopfhörer p = headphones+
kran m ¨e = crane
[furniture]
tisch m -e @ an/at = table
bett n -en = bed
stuhl m ¨e @ auf/on = chair
schrank m ¨e = cupboard
sofa n -s @ auf/on = sofa
bank f ¨e @ auf/on = bench
regal n -e = shelf
sessel m - = armchair
schreibtisch m -e @ an/at = desk
kommode f -n = chest of drawers
truhe f -n = chest
hocker m - @ auf/on = stool
wiege f -n = cradle
hängematte f -n = hammock
[clothes]
mantel m ¨ = coat
kleid n -er = dress
schuh m -e = shoe
hemd n -en = shirt
hut m ¨e = hat
hose f -n = trousers+
jacke f -n = jacket
rock m ¨e = skirt
pullover m - = sweater
anzug m ¨e = suit
handschuh m -e = glove
stiefel m - = boot
mütze f -n = cap
socke f -n = sock
schal m -s = scarf
bluse f -n = blouse
gürtel m - = belt
krawatte f -n = tie
fliege f -n = bow tie
weste f -n = waistcoat
schürze f -n = apron
umhang m ¨e = cloak
[doc]
buch n ¨er = book
brief m -e = letter
zeitung f -en = newspaper
artikel m - = article
geschichte f -n = story
bericht m -e = report
roman m -e = novel
gedicht n -e = poem
nachricht f -en = message
rechnung f -en = bill
vertrag m ¨e = contract
liste f -n = list
antrag m ¨e = application
zeugnis n -se = certificate
tagebuch n ¨er = diary
zeitschrift f -en = magazine
märchen n - = fairy tale
wörterbuch n ¨er = dictionary
rezept n -e = recipe
aufsatz m ¨e = essay
einladung f -en = invitation
entwurf m ¨e = draft
absatz m ¨e = paragraph
lebenslauf m ¨e = curriculum vitae~
testament n -e = will
fahrplan m ¨e = timetable
urkunde f -n = deed
flugblatt n ¨er = leaflet
fußnote f -n = footnote
[mail]
karte f -n = card
postkarte f -n = postcard
[ticket]
karte f -n = ticket
fahrkarte f -n = ticket
[vehicle]
auto n -s = car
zug m ¨e = train
bus m -se = bus
fahrrad n ¨er @ auf/on = bicycle / bike
schiff n -e @ auf/on = ship
flugzeug n -e = plane
boot n -e = boat
lastwagen m - = lorry / truck
straßenbahn f -en = tram
taxi n -s = taxi
motorrad n ¨er @ auf/on = motorcycle
wagen m - = car
krankenwagen m - = ambulance
fähre f -n @ auf/on = ferry
traktor m -en = tractor
kutsche f -n = carriage
hubschrauber m - = helicopter
schlitten m - @ auf/on = sledge
floß n ¨e @ auf/on = raft
[building]
haus n ¨er = house
schule f -n @ in/at = school
kirche f -n = church
hotel n -s = hotel
krankenhaus n ¨er = hospital
bahnhof m ¨e @ an/at = station
museum n museen = museum
restaurant n -s = restaurant
wohnung f -en = flat / apartment
geschäft n -e = shop
schloss n ¨er = castle
theater n - = theatre
fabrik f -en = factory
bibliothek f -en = library
kino n -s = cinema
turm m ¨e = tower
rathaus n ¨er = town hall
flughafen m ¨ @ an/at = airport
apotheke f -n = pharmacy
bäckerei f -en = bakery
gefängnis n -se = prison
kloster n ¨ = monastery
hütte f -n = hut / cabin
werkstatt f ¨en = workshop
scheune f -n = barn
palast m ¨e = palace
buchhandlung f -en = bookshop
kaserne f -n = barracks+
tankstelle f -n @ an/at = petrol station
mühle f -n = mill
gasthaus n ¨er = inn
leuchtturm m ¨e = lighthouse
gebäude n - = building
burg f -en = fortress
sternwarte f -n = observatory
brauerei f -en = brewery
gewächshaus n ¨er = greenhouse
waisenhaus n ¨er = orphanage
[room]
zimmer n - = room
küche f -n = kitchen
büro n -s = office
garten m ¨ = garden
keller m - = cellar
bad n ¨er = bathroom
schlafzimmer n - = bedroom
wohnzimmer n - = living room
saal m säle = hall
klassenzimmer n - = classroom
flur m -e = corridor
labor n -e = laboratory
garage f -n = garage
treppenhaus n ¨er = staircase
dachboden m ¨ @ auf/in = attic
speisekammer f -n = pantry
umkleidekabine f -n = changing room
[place]
stadt f ¨e = city / town
straße f -n @ auf/on = street
dorf n ¨er = village
park m -s = park
wald m ¨er = forest
markt m ¨e @ auf/at = market
see m -n @ an/at = lake
fluss m ¨e @ an/by = river
strand m ¨e @ an/on = beach
insel f -n @ auf/on = island
berg m -e @ auf/on = mountain
platz m ¨e @ auf/in = square
brücke f -n @ auf/on = bridge
land n ¨er = country
hafen m ¨ = harbour / port
küste f -n @ an/on = coast
feld n -er @ auf/in = field
ufer n - @ an/on = bank
tal n ¨er = valley
haltestelle f -n @ an/at = stop
zoo m -s = zoo
friedhof m ¨e @ auf/in = cemetery
bach m ¨e @ an/by = stream
brunnen m - @ an/by = fountain
weg m -e @ auf/on = path
wiese f -n @ auf/in = meadow
hügel m - @ auf/on = hill
spielplatz m ¨e @ auf/in = playground
grenze f -n @ an/at = border
höhle f -n = cave
wüste f -n = desert
kreuzung f -en @ an/at = crossroads+
bauernhof m ¨e @ auf/on = farm
baustelle f -n @ auf/on = building site
schlucht f -en = gorge
weinberg m -e = vineyard
steinbruch m ¨e = quarry
[part]
tür f -en = door
fenster n - = window
dach n ¨er = roof
wand f ¨e = wall
treppe f -n = stairs+
tor n -e = gate
mauer f -n = wall
zaun m ¨e = fence
decke f -n = ceiling
boden m ¨ = floor
balkon m -e = balcony
eingang m ¨e = entrance
schornstein m -e = chimney
geländer n - = railing
fassade f -n = façade
vorhang m ¨e = curtain
schwelle f -n = threshold
[org]
firma f firmen = company
regierung f -en = government
universität f -en = university
bank f -en = bank
zeitung f -en = newspaper
partei f -en = party
verein m -e = club
stadt f ¨e = city
mannschaft f -en = team
gericht n -e = court
ministerium n ministerien = ministry
verlag m -e = publishing house
gewerkschaft f -en = union
stiftung f -en = foundation
armee f -n = army
verwaltung f -en = administration
versicherung f -en = insurance company
orchester n - = orchestra
ausschuss m ¨e = committee
feuerwehr f -en = fire brigade
familie f -n = family
genossenschaft f -en = cooperative
chor m ¨e = choir
zunft f ¨e = guild
[idea]
plan m ¨e = plan
idee f -n = idea
vorschlag m ¨e = suggestion / proposal
entscheidung f -en = decision
meinung f -en = opinion
grund m ¨e = reason
ergebnis n -se = result
projekt n -e = project
rat m x = advice~
gesetz n -e = law
lösung f -en = solution
erklärung f -en = explanation
regel f -n = rule
reise f -n = journey / trip
arbeit f x = work~
leben n - = life
angebot n -e = offer
theorie f -n = theory
forderung f -en = demand
verhalten n x = behaviour~
erfindung f -en = invention
steuer f -n = tax
methode f -n = method
strategie f -n = strategy
reform f -en = reform
haltung f -en = attitude
beweis m -e = proof~
gewohnheit f -en = habit
abkommen n - = agreement
verdacht m x = suspicion
vorurteil n -e = prejudice
hypothese f -n = hypothesis
vermächtnis n -se = legacy
[task]
problem n -e = problem
frage f -n = question
aufgabe f -n = task / exercise
prüfung f -en = exam
rätsel n - = riddle / puzzle
streit m x = dispute
situation f -en = situation
fehler m - = mistake
fall m ¨e = case
krise f -n = crisis
schwierigkeit f -en = difficulty
herausforderung f -en = challenge
missverständnis n -se = misunderstanding
klausel f -n = clause
gleichung f -en = equation
[event]
konzert n -e = concert
fest n -e = party
sitzung f -en = meeting
spiel n -e = game / match
hochzeit f -en = wedding
unterricht m x = lessons+
gespräch n -e = conversation
ausstellung f -en = exhibition
vortrag m ¨e = lecture / talk
wahl f -en = election
versammlung f -en = assembly
feier f -n = celebration
rede f -n = speech
verhandlung f -en = negotiation
ball m ¨e = dance
beerdigung f -en = funeral
aufführung f -en = performance
probe f -n = rehearsal
wettbewerb m -e = competition
messe f -n = trade fair
taufe f -n = christening
umzug m ¨e = parade
auktion f -en = auction
[disaster]
krieg m -e = war
unfall m ¨e = accident
sturm m ¨e = storm
gewitter n - = thunderstorm
streik m -s = strike
erdbeben n - = earthquake
finsternis f -se = eclipse
[work]
film m -e = film / movie
lied n -er = song
gemälde n - = painting
stück n -e = play
oper f -n = opera
foto n -s = photo
sendung f -en = programme
serie f -n = series
symphonie f -n = symphony
skulptur f -en = sculpture
zeichnung f -en = drawing
melodie f -n = tune
ballett n -e = ballet
[instrument]
gitarre f -n = guitar
klavier n -e = piano
geige f -n = violin
flöte f -n = flute
flügel m - = grand piano
trompete f -n = trumpet
orgel f -n = organ
harfe f -n = harp
cello n -s = cello
akkordeon n -s = accordion
oboe f -n = oboe
posaune f -n = trombone
[plant]
baum m ¨e = tree
blume f -n = flower
rose f -n = rose
gras n x = grass~
eiche f -n = oak
busch m ¨e = bush
kiefer f -n = pine
tulpe f -n = tulip
birke f -n = birch
linde f -n = lime tree
distel f -n = thistle
farn m -e = fern
efeu m x = ivy~
ahorn m -e = maple
weide f -n = willow
[feeling]
zeit f x = time~
geduld f x = patience~
erfolg m -e = success~
mut m x = courage~
hilfe f x = help~
kraft f x = strength~
erfahrung f x = experience~
glück n x = luck~
vertrauen n x = confidence~
humor m x = sense of humour~
talent n x = talent~
ehrgeiz m x = ambition~
phantasie f x = imagination~
[illness]
erkältung f -en = cold
fieber n x = fever~
grippe f x = flu~
krankheit f -en = illness
husten m x = cough
kopfschmerzen p = headaches+
verletzung f -en = injury
masern p = measles~
[language]
deutsch n x = german~
englisch n x = english~
französisch n x = french~
spanisch n x = spanish~
italienisch n x = italian~
russisch n x = russian~
chinesisch n x = chinese~
japanisch n x = japanese~
polnisch n x = polish~
türkisch n x = turkish~
latein n x = latin~
isländisch n x = icelandic~
[unique]
polizei f x = police+
wetter n x = weather~
sonne f x = sun
mond m x = moon
frühling m x = spring
[subject]
politik f x = politics~
geschichte f x = history~
musik f x = music~
fußball m x = football~
mathematik f x = mathematics~
kunst f x = art~
chemie f x = chemistry~
literatur f x = literature~
biologie f x = biology~
philosophie f x = philosophy~
schach n x = chess~
wirtschaft f x = economics~
sternkunde f x = astronomy~
[mass]
geld n x = money~
holz n x = wood~
papier n x = paper~
salz n x = salt~
zucker m x = sugar~
gold n x = gold~
seife f x = soap~
benzin n x = petrol~
strom m x = electricity~
wolle f x = wool~
sand m x = sand~
mehl n x = flour~
leder n x = leather~
silber n x = silver~
kohle f x = coal~
zement m x = cement~
kreide f x = chalk~
bernstein m x = amber~
[other]
licht n -er = light
preis m -e = price
antwort f -en = answer
feuer n - = fire
stein m -e = stone
temperatur f -en = temperature
geheimnis n -se = secret
stelle f -n = position / job
verbot n -e = ban
lüge f -n = lie
prozess m -e = lawsuit
[span]
tag m -e = day
abend m -e = evening
ferien p = holidays+
wochenende n -n = weekend
[furnishing]
möbel p = furniture~
lebensmittel p = groceries+
daten p = data+
kleidung f x = clothes+
gepäck n x = luggage~
schmuck m x = jewellery~
werkzeug n -e = tool
ausrüstung f x = equipment~
geschirr n x = dishes+
bettwäsche f x = bed linen~
"""

MEN = words("""
peter hans paul thomas michael martin karl stefan andreas jan david felix lukas max tobias jonas simon alexander daniel
georg otto emil anton christian sebastian robert walter werner klaus jürgen helmut dieter günter heinz uwe ralf frank
bernd holger jörg sven torsten oliver philipp moritz leon finn noah elias ben tim niklas fabian julian konrad ludwig
friedrich wilhelm gustav theodor bruno arthur oskar hugo valentin leopold magnus ansgar eberhard gottfried reinhold
wolfgang siegfried lothar rainer detlef ulrich volker
""")
WOMEN = words("""
maria anna lisa julia eva sophie clara petra sabine katharina laura lena marie susanne monika christine barbara karin
ursula helga ingrid renate gisela birgit claudia martina nicole stefanie melanie sandra nina hannah emma mia lea leonie
charlotte emilia johanna luise frieda greta ida mathilde paula theresa magdalena elisabeth margarete hildegard brigitte
dorothea friederike adelheid roswitha gudrun sieglinde waltraud annegret cornelia edith gertrud hedwig irmgard kunigunde
""")
SURNAMES = words("""
müller schmidt schneider fischer weber meyer wagner becker hoffmann koch richter klein wolf schröder neumann schwarz
zimmermann braun krüger hartmann lange werner krause lehmann köhler herrmann walter könig mayer huber kaiser fuchs
peters scholz möller weiß jung hahn vogel friedrich keller günther frank berger winkler roth beck lorenz baumann
albrecht schuster simon ludwig böhm winter kraus martin schumacher krämer vogt stein jäger otto sommer groß seidel
heinrich brandt haas schreiber graf schulte dietrich ziegler kuhn kühn pohl engel horn busch bergmann thomas voigt sauer
arnold wolff pfeiffer lindemann oppermann rosenthal hagedorn wiesengrund silbermann trautmann
""")
TOWNS = """
berlin = berlin | münchen = munich | hamburg = hamburg | köln = cologne | wien = vienna | frankfurt = frankfurt
paris = paris | london = london | zürich = zurich | rom = rome | leipzig = leipzig | dresden = dresden | bremen = bremen
hannover = hanover | nürnberg = nuremberg | stuttgart = stuttgart | prag = prague | warschau = warsaw | moskau = moscow
brüssel = brussels | genf = geneva | mailand = milan | venedig = venice | florenz = florence | neapel = naples
lissabon = lisbon | athen = athens | kopenhagen = copenhagen | madrid = madrid | salzburg = salzburg | basel = basel
bern = berne | freiburg = freiburg | heidelberg = heidelberg | braunschweig = brunswick | aachen = aachen | trier = trier
lübeck = lübeck | rostock = rostock | potsdam = potsdam | weimar = weimar | jena = jena | erfurt = erfurt | kassel = kassel
mainz = mainz | ulm = ulm | passau = passau | regensburg = ratisbon | augsburg = augsburg | bamberg = bamberg
krakau = cracow | danzig = gdansk | bukarest = bucharest | belgrad = belgrade | peking = beijing | tokio = tokyo
kairo = cairo | neu-delhi = new delhi | helsinki = helsinki | oslo = oslo | stockholm = stockholm | dublin = dublin
edinburg = edinburgh | turin = turin | triest = trieste | den haag = the hague | antwerpen = antwerp | luzern = lucerne
straßburg = strasbourg | breslau = wroclaw | königsberg = kaliningrad | lemberg = lviv | kiew = kyiv
"""
COUNTRIES = """
deutschland = germany | frankreich = france | österreich = austria | italien = italy | spanien = spain | england = england
amerika = america | polen = poland | griechenland = greece | schweden = sweden | russland = russia | china = china
japan = japan | indien = india | norwegen = norway | dänemark = denmark | ungarn = hungary | ägypten = egypt | kanada = canada
brasilien = brazil | belgien = belgium | finnland = finland | irland = ireland | schottland = scotland | bayern = bavaria
sachsen = saxony | australien = australia | afrika = africa | neuseeland = new zealand | island = iceland | rumänien = romania
kroatien = croatia | tschechien = the czech republic | südafrika = south africa | kolumbien = colombia | äthiopien = ethiopia
lettland = latvia | estland = estonia
"""

#include "frontier/words.hpp"

#include <sstream>

namespace frontier::words {
namespace {

std::vector<std::string> split(char const* text, char separator = ' ') {
  std::vector<std::string> items;
  std::istringstream stream(text);
  for (std::string item; std::getline(stream, item, separator);) {
    if (!item.empty()) items.push_back(item);
  }
  return items;
}

}  // namespace

std::vector<std::string> const& item_adjectives() {
  static std::vector<std::string> const list = split(
      "amber battered carved curious dented engraved faded gilded gleaming humble lacquered mended ornate polished "
      "slender speckled twisted weathered ");
  return list;
}

std::vector<std::string> const& item_materials() {
  static std::vector<std::string> const list =
      split("brass bronze cedar clay copper crystal ebony glass ivory jade leather oak pewter silver stone ");
  return list;
}

std::vector<std::string> const& item_types() {
  static std::vector<std::string> const list = split(
      "amulet bell bowl box brooch candlestick chalice comb compass dagger figurine flute goblet lamp locket "
      "mirror necklace ring statue teapot whistle ");
  return list;
}

std::vector<std::string> const& characters() {
  static std::vector<std::string> const list = split(
      "Adela Anton Astrid Benedikt Bruno Calla Casimir Dalia Darius Edda Elio Esme Fabian Fenna Gideon Greta Hakon "
      "Hilde Idris Imani Ivo Jarek Jolanta Kasimira Kiran Leif Liora Magnus Maren Mirko Nadia Niko Odile Oskar "
      "Petra Quillon Rafaela Rurik Sabine Silas Tamsin Teodor Ulla Viktor Wanda Xenia Yasmin Yorick Zora ");
  return list;
}

std::vector<std::string> const& locations() {
  static std::vector<std::string> const list = split(
      "Aldermoor|Ashford|Bellhaven|Birchwick|Black Harbor|Brackenfell|Bramblegate|Calder Bay|Cedarholm|"
      "Cinderford|Clearwater|Coldspring|Copperhill|Cragmoor|Deepwell|Dovecote|Duskvale|Eastmere|Elmstead|"
      "Emberfall|Fairhollow|Falcon Ridge|Fernley|Foxglove|Frostmere|Glasswick|Goldmeadow|Greenholt|"
      "Greyport|Hartwell|Hazelbrook|Heron Point|Highcastle|Hollowmere|Ironbridge|Ivywood|Juniper Pass|"
      "Kestrel Bay|Kingsferry|Lakeshire|Larkfield|Longmarsh|Maplecross|Marblegate|Millbrook|Mistvale|"
      "Moonhaven|Northwick|Oakenshaw|Old Quarry|Otterford|Pinecrest|Quietwater|Ravenscar|Redcliff|"
      "Rosewater|Saltmarsh|Silverton|Stonebridge|Sunhollow|Thornbury|Westerly|Willow Creek|Windmere|",
      '|');
  return list;
}

std::vector<std::string> const& events() {
  static std::vector<std::string> const list = split(
      "the lantern festival|the autumn fair|the spring parade|the harvest feast|the boat race|"
      "the poetry contest|the candle market|the winter games|the music week|the kite festival|the bread fair|"
      "the river blessing|the clock ceremony|the flower show|the stone throwing|the midnight concert|"
      "the wool auction|the honey tasting|the mask parade|the chess tournament|",
      '|');
  return list;
}

std::vector<std::string> const& common_pool() {
  static std::vector<std::string> const list = split(
      "apple arrow anchor anvil apron arch aspen atlas attic autumn avenue axle bagel bakery balcony ballad bamboo "
      "banana barley barn barrel basin basket battery beacon beam bean bear beard beaver beech beetle belfry bell "
      "belt bench bicycle birch biscuit blanket blossom blouse bonfire bonnet book boot border bottle bowl "
      "bracelet branch brass bread breeze bridge bronze brook broom brush bucket buffalo bugle bundle burrow bush "
      "butter cabbage cabin cable cactus cake camel camp canal candle candy cannon canvas canyon cape captain "
      "caravan card carpet carrot cart carving cascade castle cattle cave cedar ceiling cellar chain chalk chamber "
      "channel chapel charcoal chariot cheese cherry chest chestnut chicken chimney choir cider cinema circle "
      "circus citadel cliff cloak clock cloth cloud clover coal coast coat cobble coconut coffee collar column "
      "comet compass copper coral cork corn corner cottage cotton couch cradle crane crater crayon cream creek "
      "cricket crown crystal cup cupboard cushion cypress dagger daisy dance dawn desert desk diamond diary dinner "
      "dish dolphin donkey door dove dragon drawer drum duck dune dust eagle earth echo eel elbow elder elm ember "
      "engine envelope evening factory falcon farm feather fence fern ferry fiddle field finger fire fish flag "
      "flame flask flint flock floor flour flower flute fog folder forest forge fork fort fox frame freight frog "
      "frost fruit garden garlic garment gate gazelle gem giant ginger giraffe glacier glade globe glove goat "
      "goblet gold goose gown grain granite grape grass gravel guard guitar gull hall hamlet hammer harbor harness "
      "harp harvest hat hatchet hay hazel hedge helmet hen herald herd heron hill hinge hive hollow hood hook "
      "horizon horn horse hostel house hunter husk icicle idol igloo ink insect iris iron island ivory jacket jade "
      "jaguar jar jasmine jewel jungle juniper kayak kennel kettle key king kiosk kitchen kite kitten knight knot "
      "label lace ladder ladle lake lamb lamp lane lantern larch lasso latch laundry lava lavender lawn leather "
      "ledge lemon lemur lens leopard lever library lichen lid light lilac lime linen lion lizard llama loaf lock "
      "locket lodge log loom lotus lynx machine magnet mallet mammoth mango maple marble march market marsh mask "
      "meadow medal melody melon mermaid metal mill mineral mint mirror mitten moat monkey moon moose morning "
      "mortar moth motor mountain mouse mule muscle mushroom music nail napkin necklace needle net nickel night "
      "north notebook nugget nutmeg oak oar oasis oat ocean olive onion orange orbit orchard orchid otter oven owl "
      "ox oyster paddle paint palace palm panda panel panther parade parcel park parrot pasture patch pavilion "
      "peach peak pear pearl pebble pen pencil penguin pepper perfume petal piano picnic pier pigeon pillar pillow "
      "pioneer pipe pirate pistol pitcher plain plank plate plaza plow plum poem pond pony poplar poppy porch "
      "portrait potato pottery powder prairie prism puddle pulley pumpkin puppet puzzle pyramid quarry quartz "
      "queen quilt quiver rabbit radio radish raft rail rain rainbow ranch raven razor reef reindeer resin ribbon "
      "rice riddle ridge ring river robe robin rock rocket roof room root rope rose rover ruby rudder saddle "
      "saffron sail salad salmon salt sandal sapphire satchel saucer sauce scale school scooter scroll sculpture "
      "sea season seed shadow shark shawl shed shell shelter shield ship shirt shoe shovel shower shrine shrub "
      "sickle silk siren sketch skirt sky slate sled slipper slope smoke snail snow soap soil soldier song soup "
      "south spade sparrow spear spice spider spiral spire spoon spring spruce square squash squirrel stadium "
      "stage stair stamp star statue steel stem stone stool storm stove straw stream street string studio sugar "
      "sulfur summer sun swallow swamp sweater sword table tailor tambourine tangerine tar tavern tea temple tent "
      "terrace thicket thimble thistle thorn thread throne ticket tide tiger tile timber toad tobacco tomato torch "
      "tortoise tower town track trail train treasure tree trellis tribe trolley trophy trout trumpet trunk tunnel "
      "turkey turnip turtle twig twine uniform valley vase vault velvet vessel vine vinegar violet violin volcano "
      "voyage wagon waist wall walnut walrus wand water waterfall wave wax weasel weaver well west whale wharf "
      "wheat whistle willow wind window wine wing wire wizard wolf wood wool workshop wren yacht yard yarn yeast "
      "yogurt zephyr zinc ancient bitter bold brave bright broad calm careful charming cheerful clear clever cold "
      "colorful cool crisp curious damp dark deep delicate distant dry dull eager early easy elegant faint fair "
      "famous fancy fast fierce firm flat fresh friendly frozen full giddy glad golden grand grateful gray green "
      "grim handsome happy hard heavy hidden high honest hot huge hungry idle jolly keen kind large lazy lean "
      "lively lonely long loud lucky mellow merry mighty mild modern muddy narrow neat nimble noble noisy old pale "
      "patient pleasant polite poor pure quaint quick quiet rapid rare rich ripe rough round royal rusty safe "
      "shallow sharp shiny short shy simple sleepy slender slim slow small soft solid sour spare stale steady "
      "stern stiff still strange strict sturdy subtle sudden sunny sweet swift tame tender thick thin tidy tight "
      "tired tough vast vivid warm weak wet white wide wild wise witty yellow young admire adopt answer appear "
      "arrive ask bake balance bathe begin bite blend bloom blow boil borrow bow break breathe bring build burn "
      "call carry carve catch chase cheer chop clap climb close collect compare copy count cover crawl cross cry "
      "dare decide deliver dig dive divide dream drift drink drive drop eat enter escape explore fall feed fetch "
      "fight fill find finish float fly fold follow forget gather give glow greet grind grow guess guide happen "
      "hatch hear help hide hold hope hum hunt hurry imagine invite jump keep kick kneel knit laugh leap learn "
      "leave lend lift listen look love make mend mix move obey offer open order paste peel plan plant play polish "
      "pour praise pretend promise pull push race reach read rest return ride rinse roam roll row run scatter "
      "search send serve settle sew shake share shout show shut sing sit sleep smell smile solve sort speak spend "
      "splash spread stack stand stay steer stir stitch stop store stretch study swim swing taste teach tell thank "
      "throw tie touch trade travel trim try turn twist visit wait wake wander wash watch wear weave whisper wish "
      "wonder work wrap write ");
  return list;
}

std::vector<std::string> const& entities() {
  static std::vector<std::string> const list = split(
      "Abelard Adriana Alaric Amara Anselm Ariadne Armand Aurelia Balthazar Beatrix Berengar Bianca Boris Brigitta "
      "Cassius Celeste Conrad Cordelia Cyprian Damaris Desmond Dorothea Edmund Eleanor Emeric Estelle Eugene "
      "Evander Felicia Ferdinand Fiona Florian Gareth Gemma Gerard Giselle Gustav Gwendolyn Harriet Hector Helena "
      "Henrik Hester Horatio Hugo Ignatius Ilona Ingrid Isidore Jacinta Jasper Joachim Jonas Josephine Julian "
      "Justina Kaspar Katrin Konrad Lavinia Leander Leonora Linus Lorenz Lucinda Ludwig Lysander Marcella Matthias "
      "Maximilian Melchior Minerva Mortimer Nathaniel Nikolai Octavia Olympia Orlando Ottilie Pascal Patience "
      "Percival Philippa Phoebe Quentin Ramona Reginald Reinhold Roderick Rosalind Rowena Rupert Salome Samson "
      "Seraphina Sigmund Simeon Solveig Stefan Stella Sylvester Tabitha Thaddeus Theresa Tiberius Tobias Ursula "
      "Valentin Valeria Vincent Viola Virgil Walter Wilhelmina Winifred Wolfgang Xavier Yolanda Yvette Zachary "
      "Zelda Zenobia Zoltan Alistair Barnaby Clementine Drusilla Evangeline ");
  return list;
}

std::vector<std::string> const& relations() {
  static std::vector<std::string> const list = split(
      "profession instrument birthplace hobby pet color drink dish sport season book teacher rival neighbor cousin "
      "vehicle house garden language school employer medal fear wish melody flower tree coin tool hat month weapon ");
  return list;
}

std::vector<std::string> const& symbols() {
  static std::vector<std::string> const list = [] {
    std::vector<std::string> pairs;
    for (char letter = 'a'; letter <= 'z'; ++letter) {
      for (char digit = '0'; digit <= '9' && pairs.size() < 256; ++digit) pairs.push_back({letter, digit});
    }
    return pairs;
  }();
  return list;
}

}  // namespace frontier::words

#include "sim/skills.h"

#include <doctest/doctest.h>

#include <set>

using namespace starling::sim;

TEST_CASE("numbers are spelt as their languages spell them") {
  CHECK(german_number(0) == "null");
  CHECK(german_number(21) == "einundzwanzig");
  CHECK(german_number(30) == "dreißig");
  CHECK(german_number(101) == "einhunderteins");
  CHECK(german_number(117) == "einhundertsiebzehn");
  CHECK(german_number(241) == "zweihunderteinundvierzig");
  CHECK(german_number(366) == "dreihundertsechsundsechzig");
  CHECK(french_number(21) == "vingt-et-un");
  CHECK(french_number(70) == "soixante-dix");
  CHECK(french_number(71) == "soixante-et-onze");
  CHECK(french_number(77) == "soixante-dix-sept");
  CHECK(french_number(80) == "quatre-vingts");
  CHECK(french_number(81) == "quatre-vingt-un");
  CHECK(french_number(91) == "quatre-vingt-onze");
  CHECK(french_number(100) == "cent");
  CHECK(french_number(200) == "deux-cents");
  CHECK(french_number(201) == "deux-cent-un");
  CHECK(french_number(380) == "trois-cent-quatre-vingts");
  CHECK(french_number(171) == "cent-soixante-et-onze");
  CHECK(spanish_number(16) == "dieciséis");
  CHECK(spanish_number(31) == "treinta y uno");
  CHECK(spanish_number(100) == "cien");
  CHECK(spanish_number(123) == "ciento veintitrés");
  CHECK(spanish_number(200) == "doscientos");
  CHECK(spanish_number(399) == "trescientos noventa y nueve");
  CHECK(chinese_number(0) == "ling");
  CHECK(chinese_number(10) == "shi");
  CHECK(chinese_number(12) == "shi er");
  CHECK(chinese_number(20) == "er shi");
  CHECK(chinese_number(99) == "jiu shi jiu");
  CHECK(chinese_number(100) == "yi bai");
  CHECK(chinese_number(105) == "yi bai ling wu");
  CHECK(chinese_number(110) == "yi bai yi shi");
  CHECK(chinese_number(312) == "san bai yi shi er");
  CHECK(roman_number(4) == "IV");
  CHECK(roman_number(47) == "XLVII");
  CHECK(roman_number(399) == "CCCXCIX");
}

TEST_CASE("every number has its own word in every language") {
  for (auto spell : {german_number, french_number, spanish_number, chinese_number}) {
    std::set<std::string> words;
    for (uint32_t number = 0; number < 400; ++number) words.insert(spell(number));
    CHECK(words.size() == 400);
  }
}

TEST_CASE("the questions of each skill read as they should") {
  const auto answer_of = [](const char* name, const std::string& prompt) -> std::string {
    const Skill skill = make_skill(name, 1);
    for (const auto* pairs : {&skill.training, &skill.test}) {
      for (const auto& pair : *pairs) {
        if (pair.prompt == prompt) return pair.answer;
      }
    }
    return "not asked";
  };
  CHECK(answer_of("de", "de 7>") == "sieben");
  CHECK(answer_of("fr", "fr 71>") == "soixante-et-onze");
  for (const char* name : {"morse", "nato", "rev"}) {
    const Skill skill = make_skill(name, 1);
    for (const auto& pair : skill.training) {
      const std::string word = pair.prompt.substr(std::string(name).size() + 1);
      if (std::string(name) == "rev") {
        REQUIRE(pair.answer == std::string(word.rbegin() + 1, word.rend()));
      } else if (word == "sos>") {
        CHECK(pair.answer ==
              (std::string(name) == "morse" ? "... --- ..." : "sierra oscar sierra"));
      }
    }
  }
}

TEST_CASE("a fifth of the questions is held out and never taught") {
  for (const std::string_view name : skill_names()) {
    CAPTURE(std::string(name));
    const Skill skill = make_skill(name, 7);
    CHECK(skill.test.size() == test_pairs_max);
    CHECK(skill.training.size() >= 300);
    CHECK(skill.training.size() <= training_pairs_max);
    std::set<std::string> taught, asked;
    for (const auto& pair : skill.training) taught.insert(pair.prompt);
    for (const auto& pair : skill.test) asked.insert(pair.prompt);
    CHECK(taught.size() == skill.training.size());
    CHECK(asked.size() == skill.test.size());
    for (const std::string& prompt : asked) CHECK(taught.count(prompt) == 0);
  }
  CHECK(make_skill("de", 7).training.size() == 20 + 380 - 76);
  CHECK(make_skill("morse", 7).training.size() == 17576 - 17576 / 5);
  CHECK(make_skill("rev", 7).training.size() == training_pairs_max);
}

TEST_CASE("another seed holds out other questions, the same seed the same") {
  CHECK(to_tsv(make_skill("es", 3).test) == to_tsv(make_skill("es", 3).test));
  CHECK(to_tsv(make_skill("es", 3).training) == to_tsv(make_skill("es", 3).training));
  CHECK(to_tsv(make_skill("es", 3).test) != to_tsv(make_skill("es", 4).test));
}

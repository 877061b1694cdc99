#pragma once
// The built-in skills: eight small subjects with questions and answers made by rule, for a swarm
// that has been given no data. A question reads "de 241>", its answer "zweihunderteinundvierzig". A
// fifth of each skill's questions, chosen by a seeded hash, never appears in training; what a node
// answers to those it has understood, not remembered. Words that follow from no other word (0 to 19
// in German, "soixante-et-onze", "cien") are always taught, since nobody could work them out.
//   de     numbers 0..399 in German words
//   fr     the same in French, all parts joined by hyphens: "deux-cent-quatre-vingt-un",
//   "deux-cents" es     the same in Spanish, with accents: "ciento veintitrés" zh     the same in
//   Chinese, pinyin without tones: "san bai ling wu" roman  1..399 in Roman numerals morse  three
//   letters in Morse code, a blank between letters nato   three letters in the international
//   spelling alphabet rev    four letters in reverse
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "model/session.h"

namespace starling::sim {

inline constexpr size_t training_pairs_max =
    20000;  // of a skill; all there are where there are fewer
inline constexpr size_t test_pairs_max = 60;

struct Skill {
  std::string name;
  std::vector<model::Pair> training;  // distinct
  std::vector<model::Pair> test;      // held out
};

std::vector<std::string_view> skill_names();
// Requires: name is one of skill_names(). The same name and seed give the same pairs.
Skill make_skill(std::string_view name, uint64_t seed);
// The file form of pairs: PROMPT<TAB>ANSWER lines.
std::string to_tsv(const std::vector<model::Pair>& pairs);

// Number words, for 0 <= number <= 399 (roman: 1..399).
std::string german_number(uint32_t number);
std::string french_number(uint32_t number);
std::string spanish_number(uint32_t number);
std::string chinese_number(uint32_t number);
std::string roman_number(uint32_t number);

}  // namespace starling::sim

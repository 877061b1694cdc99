#pragma once
// What this process and its directory use.
#include <cstdint>
#include <string>

namespace starling::node {

// Vectors as large as a model go back to the system when they are freed, whatever was freed before:
// left alone, glibc learns from each to keep the next ones. Before the first thread starts.
void return_freed_vectors();
uint64_t resident_bytes();
double cpu_seconds();  // user and system, since start
uint64_t directory_bytes(
    const std::string& directory);  // recursively; what vanishes meanwhile is not counted

}  // namespace starling::node

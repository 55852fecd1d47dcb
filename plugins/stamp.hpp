// What must agree between a plugin and the program that loads it, as text that the preprocessor
// puts together: one "field=value" a line. The same lines stand in the plugin's ELF note, where
// they are read before any of its code can run. Part of the SDK; no types, no state.
#pragma once

#include <version>  // _GLIBCXX_RELEASE and the ABI switches

#include "plugins/sdk_digest.hpp"  // generated: CIFARPIPE_SDK_DIGEST

/// Raised whenever an old plugin could no longer be loaded.
#define CIFARPIPE_SDK_API 1

#define CIFARPIPE_TEXT_OF(x) #x
#define CIFARPIPE_TEXT(x) CIFARPIPE_TEXT_OF(x)

#if defined(__clang__)
#define CIFARPIPE_STAMP_COMPILER "clang " CIFARPIPE_TEXT(__clang_major__)
#else
#define CIFARPIPE_STAMP_COMPILER "gcc " CIFARPIPE_TEXT(__GNUC__)
#endif

#if !defined(_GLIBCXX_RELEASE)
#define CIFARPIPE_STAMP_LIBRARY "another standard library"
#elif defined(_GLIBCXX_DEBUG)
#define CIFARPIPE_STAMP_LIBRARY                                                     \
  "libstdc++ " CIFARPIPE_TEXT(_GLIBCXX_RELEASE) " debug mode, abi " CIFARPIPE_TEXT( \
      _GLIBCXX_USE_CXX11_ABI)
#else
#define CIFARPIPE_STAMP_LIBRARY \
  "libstdc++ " CIFARPIPE_TEXT(_GLIBCXX_RELEASE) ", abi " CIFARPIPE_TEXT(_GLIBCXX_USE_CXX11_ABI)
#endif

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define CIFARPIPE_STAMP_SANITIZERS "address"
#elif __has_feature(thread_sanitizer)
#define CIFARPIPE_STAMP_SANITIZERS "thread"
#elif __has_feature(memory_sanitizer)
#define CIFARPIPE_STAMP_SANITIZERS "memory"
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define CIFARPIPE_STAMP_SANITIZERS "address"
#elif defined(__SANITIZE_THREAD__)
#define CIFARPIPE_STAMP_SANITIZERS "thread"
#endif
#ifndef CIFARPIPE_STAMP_SANITIZERS
#define CIFARPIPE_STAMP_SANITIZERS "none"
#endif

// Defined for those who link cifarpipe::torch, and only for them.
#ifdef CIFARPIPE_TORCH_STAMP_VERSION
#define CIFARPIPE_STAMP_TORCH            \
  "torch=" CIFARPIPE_TORCH_STAMP_VERSION \
  "\n"                                   \
  "torch_git=" CIFARPIPE_TORCH_STAMP_GIT \
  "\n"                                   \
  "torch_cuda=" CIFARPIPE_TORCH_STAMP_CUDA "\n"
#else
#define CIFARPIPE_STAMP_TORCH ""
#endif

/// The whole stamp of the code that is being compiled.
#define CIFARPIPE_STAMP \
  "api=" CIFARPIPE_TEXT(CIFARPIPE_SDK_API) "\n"      \
  "headers=" CIFARPIPE_SDK_DIGEST "\n"               \
  "compiler=" CIFARPIPE_STAMP_COMPILER "\n"          \
  "library=" CIFARPIPE_STAMP_LIBRARY "\n"            \
  "sanitizers=" CIFARPIPE_STAMP_SANITIZERS "\n"      \
  CIFARPIPE_STAMP_TORCH

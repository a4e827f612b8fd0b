// Watching a run: each of its events once and in order, over as many connections as it takes.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "archive.h"

class RunWatch {
 public:
  // The token comes with the answer to a submission, or with that to GetRun.
  RunWatch(std::string run, std::string token) : run_(std::move(run)), token_(std::move(token)) {}

  // Follows the run until all was seen, or this connection ends. Returns whether there is nothing more to come; otherwise call this
  // again with a new connection, after `pause()`. Throws RpcError when the watch can not go on.
  bool follow(Archive& archive);

  std::chrono::milliseconds pause() const { return pause_; }

  // Whether the sequences are 1, 2, ... n.
  bool each_once() const;

  int connections = 0;
  std::vector<std::string> kinds;
  std::string end;          // the run's terminal state
  std::string closed_with;  // the code with which the server ended the last stream

 private:
  void take(const osa::RunEvent& event);

  std::string run_;
  std::string token_;
  std::vector<long> sequences_;
  std::chrono::milliseconds pause_{};
  int failures_ = 0;  // in a row
};

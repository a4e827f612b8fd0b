#include "run_watch.h"

#include <google/protobuf/util/time_util.h>

#include <iostream>

using google::protobuf::util::TimeUtil;

bool RunWatch::follow(Archive& archive) {
  ++connections;
  pause_ = std::chrono::seconds(1);
  osa::WatchRunRequest request;
  request.set_name(run_);
  request.set_resume_token(token_);
  grpc::ClientContext context;  // without a deadline: a run may wait for days for its review
  auto stream = archive.runs->WatchRun(&context, request);

  osa::WatchRunResponse response;
  while (stream->Read(&response)) {
    failures_ = 0;
    bool started = false;
    for (const auto& event : response.events()) {
      take(event);
      started = started || event.has_hook_started();
    }
    token_ = response.resume_token();  // covers these events: to be kept once they are dealt with
    if (response.has_closing()) {  // whatever the reason; any other control needs nothing done, also one not known here
      pause_ = std::chrono::milliseconds(TimeUtil::DurationToMilliseconds(response.closing().retry_delay()));
    }
    if (connections == 1 && started) {
      // Only to show that nothing is lost: a client of yours does not cut its own connections.
      context.TryCancel();
      stream->Finish();
      pause_ = {};
      return false;
    }
  }
  grpc::Status status = stream->Finish();
  closed_with = name_of(status.error_code());
  if (status.ok()) return true;
  // UNAVAILABLE: the connection was lost, or the server goes or spreads its watchers, and has said so by `closing`. The token is exact, so
  // nothing is missed and nothing comes twice, whoever ended the stream.
  if (status.error_code() != grpc::StatusCode::UNAVAILABLE || ++failures_ > 60) throw RpcError(status);
  return false;
}

void RunWatch::take(const osa::RunEvent& event) {
  sequences_.push_back(event.sequence());
  if (event.has_run_finished()) end = enum_name(event.run_finished().state());  // the end, whatever it is called
  const auto* arm = event.GetReflection()->GetOneofFieldDescriptor(event, event.GetDescriptor()->FindOneofByName("kind"));
  if (arm == nullptr) {  // a kind of a newer contract: it counts, and there is nothing else to do about it
    std::cerr << "event " << event.sequence() << " is of a kind not known here; going on\n";
  } else if (!event.has_hook_progress() || kinds.empty() || kinds.back() != arm->name()) {  // progress may come by the thousand
    kinds.push_back(arm->name());
  }
}

bool RunWatch::each_once() const {
  for (std::size_t i = 0; i < sequences_.size(); ++i) {
    if (sequences_[i] != static_cast<long>(i + 1)) return false;
  }
  return true;
}

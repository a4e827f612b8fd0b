package org.opensciencearchive.example;

import com.google.protobuf.Duration;
import io.grpc.Status;
import io.grpc.StatusException;
import io.grpc.stub.BlockingClientCall;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.stream.LongStream;
import org.opensciencearchive.v1.RunEvent;
import org.opensciencearchive.v1.RunFinished;
import org.opensciencearchive.v1.WatchRunRequest;
import org.opensciencearchive.v1.WatchRunResponse;

/** Sees each event of a run once and in order, over as many connections as it takes. */
final class RunWatch {

    private final String run;
    private String token;
    private long pauseMillis;
    private int failures; // in a row
    final List<Long> sequences = new ArrayList<>();
    final List<String> kinds = new ArrayList<>();
    int connections;
    String end = "";
    Status.Code closedWith = Status.Code.OK;

    /** The token comes with the answer to a submission, or with that to {@code GetRun}. */
    RunWatch(String run, String token) {
        this.run = run;
        this.token = token;
    }

    /**
     * Follows the run until all was seen, or this connection ends.
     *
     * @return whether there is nothing more to come; otherwise call this again with a new connection after {@link #pause}
     * @throws StatusException when the watch can not go on
     */
    boolean follow(Archive archive) throws StatusException, InterruptedException {
        connections++;
        pauseMillis = 1000;
        BlockingClientCall<?, WatchRunResponse> call = archive.runs.watchRun(
                WatchRunRequest.newBuilder().setName(run).setResumeToken(token).build());
        try {
            WatchRunResponse response;
            while ((response = call.read()) != null) { // null: the stream has ended with OK, and there is nothing more to come
                failures = 0;
                response.getEventsList().forEach(this::take);
                token = response.getResumeToken(); // covers these events: to be kept once they are dealt with
                if (response.hasClosing()) { // whatever the reason; any other `control` needs nothing done, also one not known here
                    pauseMillis = millis(response.getClosing().getRetryDelay());
                }
                if (connections == 1 && response.getEventsList().stream().anyMatch(RunEvent::hasHookStarted)) {
                    pauseMillis = 0; // only to show that nothing is lost: a client of yours does not cut its own connections
                    return false;
                }
            }
            closedWith = Status.Code.OK;
            return true;
        } catch (StatusException broken) {
            // UNAVAILABLE: the connection was lost, or the server goes or spreads its watchers, and has said so by `closing`. The token is
            // exact, so nothing is missed and nothing comes twice, whoever ended the stream.
            closedWith = broken.getStatus().getCode();
            if (closedWith != Status.Code.UNAVAILABLE || ++failures > 60) {
                throw broken;
            }
            return false;
        } finally {
            call.cancel("no longer needed", null); // does nothing once the call is over
        }
    }

    /** Waits as the server asked, or a second. */
    void pause() throws InterruptedException {
        Thread.sleep(pauseMillis);
    }

    /** Whether the sequences are 1, 2, ... n. */
    boolean eachOnce() {
        return sequences.equals(LongStream.rangeClosed(1, sequences.size()).boxed().toList());
    }

    private void take(RunEvent event) {
        sequences.add(event.getSequence());
        if (event.hasRunFinished()) {
            RunFinished finished = event.getRunFinished();
            end = EnumNames.nameOf(finished.getState(), finished.getStateValue());
        }
        switch (event.getKindCase()) {
            case KIND_NOT_SET -> // a kind of a newer contract: it counts, and there is nothing else to do about it
                System.err.printf("event %d is of a kind not known here; going on%n", event.getSequence());
            case HOOK_PROGRESS -> { // may come by the thousand: here they are counted as one
                if (kinds.isEmpty() || !kinds.get(kinds.size() - 1).equals("hook_progress")) {
                    kinds.add("hook_progress");
                }
            }
            default -> kinds.add(event.getKindCase().name().toLowerCase(Locale.ROOT));
        }
    }

    private static long millis(Duration duration) {
        return duration.getSeconds() * 1000 + duration.getNanos() / 1_000_000;
    }
}

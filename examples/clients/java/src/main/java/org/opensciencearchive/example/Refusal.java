package org.opensciencearchive.example;

import com.google.protobuf.Any;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.protobuf.Message;
import com.google.rpc.BadRequest;
import com.google.rpc.ErrorInfo;
import io.grpc.StatusException;
import io.grpc.protobuf.StatusProto;
import java.util.List;
import java.util.Optional;

/** Reads what the server says about why it refused a call: a code, and typed details beside it. */
record Refusal(StatusException cause) {

    /** For example {@code FAILED_PRECONDITION}. */
    String code() {
        return cause.getStatus().getCode().name();
    }

    /** What a program switches on, for example {@code FEATURE_TABLE_CONFLICT}; empty when the error is not the server's own. */
    String reason() {
        return detail(ErrorInfo.class).map(ErrorInfo::getReason).orElse("");
    }

    /** The paths of the fields that are not as they should be, sorted. */
    List<String> fields() {
        return detail(BadRequest.class).stream()
                .flatMap(bad -> bad.getFieldViolationsList().stream())
                .map(BadRequest.FieldViolation::getField)
                .sorted()
                .toList();
    }

    /** The detail of this type, if there is one. Details of types that are not known here do no harm. */
    <M extends Message> Optional<M> detail(Class<M> type) {
        for (Any detail : StatusProto.fromThrowable(cause).getDetailsList()) {
            if (detail.is(type)) {
                try {
                    return Optional.of(detail.unpack(type));
                } catch (InvalidProtocolBufferException notWhatItSaysItIs) {
                    return Optional.empty();
                }
            }
        }
        return Optional.empty();
    }
}

package org.opensciencearchive.example;

/** Enum values by name, also those of a newer contract. */
final class EnumNames {

    private EnumNames() {}

    /**
     * The name of a value in the contract, or its number when it is of a newer one.
     *
     * <p>Such a value is {@code UNRECOGNIZED} to the getter of the field; the getter beside it, {@code get...Value}, has its number. A
     * {@code switch} over an enum of the contract therefore needs a {@code default}.
     */
    static String nameOf(Enum<?> value, int number) {
        return value.name().equals("UNRECOGNIZED") ? Integer.toString(number) : value.name();
    }
}
